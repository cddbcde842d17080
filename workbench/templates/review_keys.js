// Keys of a review: J, L, P and F decide, the left and right arrows move, H shows the labels, Z takes a decision back,
// N goes to the note and Escape leaves it. Text fields keep their keys.
(() => {
  if (window.workbenchReviewKeys) return;
  window.workbenchReviewKeys = true;
  const buttons = {
    j: "judge_wrong", l: "label_wrong", p: "policy_ambiguous", f: "fine",
    ArrowLeft: "previous", ArrowRight: "next", h: "reveal", z: "take_back",
  };
  const board = () => document.querySelector(".st-key-review_board");
  const shown = () => (board() && board().querySelector(".wb-review-item") || {}).id || "";
  // After a decision keys wait for the next flip: a second key must not decide what nobody has read.
  let sent = { item: "", at: 0 };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !board()) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.target.closest('input, textarea, select, [contenteditable="true"]')) {
      if (key !== "Escape" || !event.target.closest(".st-key-review_decide")) return;
      event.target.blur();
    } else if (event.target.closest('[role="dialog"], [role="listbox"]')) {
      return;
    } else if (key === "n") {
      const note = document.querySelector('.st-key-review_decide [data-testid="stTextInput"] input');
      if (note) note.focus();
    } else if (buttons[key]) {
      const button = document.querySelector(`.st-key-${buttons[key]} button`);
      const waits = sent.item === shown() && performance.now() - sent.at < 1500;
      if (!button || button.disabled || (waits && key.length === 1 && key !== "h")) return;
      if ("jlpf".includes(key)) sent = { item: shown(), at: performance.now() };
      button.click();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }, true);
})();
