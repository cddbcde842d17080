// Keys of the Label page. A digit grades the row in focus (or the first open one) and moves on, as do A (N/A) and
// U (unrateable); the up and down arrows move between rows, Enter sends the form, N goes to the note and Escape back,
// S skips, Z undoes, G opens the guidelines and ? the list of keys. Text fields keep their keys.
(() => {
  if (window.workbenchLabelKeys) return;
  window.workbenchLabelKeys = true;
  const find = (selector) => document.querySelector(selector);
  const checked = (row) => row.querySelector('[role="radio"][aria-checked="true"]');
  const land = (row) => row && (checked(row) || row.querySelector('[role="radio"]')).focus();
  const rowsNow = () => [...document.querySelectorAll('.st-key-label_form [role="radiogroup"]')];
  const buttons = { s: ".st-key-skip button", z: ".st-key-undo button" };
  const panels = { g: ".st-key-guidelines button", "?": ".st-key-keys button" };

  // What form is on the page: another pair, or the same one with a question about what is open, is another turn.
  const turn = () => {
    const row = find('.st-key-label_form [class*="st-key-grade"]');
    return row ? `${row.className}${Boolean(find(".st-key-label_form .wb-ask"))}` : "";
  };
  // After a form is sent, keys wait for the next one: a digit must not land on the pair that is going.
  let sent = { turn: "", at: 0 };
  const leaving = () => sent.turn === turn() && performance.now() - sent.at < 1500;
  const press = (selector) => {
    const button = find(selector);
    if (!button || button.disabled) return;
    sent = { turn: turn(), at: performance.now() };
    button.click();
  };
  const openPanel = () => Object.values(panels).map(find).find((b) => b && b.getAttribute("aria-expanded") === "true");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = rowsNow();
    if (!rows.length) return;
    const held = rows.findIndex((row) => row.contains(document.activeElement));
    const open = rows.findIndex((row) => !checked(row));
    const at = held >= 0 ? held : Math.max(open, 0);
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.target.closest('input, textarea, select, [contenteditable="true"]')) {
      if (key !== "Escape" || !event.target.closest(".st-key-label_form")) return;
      land(rows[at]);
    } else if (panels[key] || (key === "Escape" && openPanel())) {
      const panel = key === "Escape" ? openPanel() : find(panels[key]);
      if (!panel) return;
      panel.click();
    } else if (event.target.closest('[role="dialog"]')) {
      return;
    } else if (leaving()) {
      if (!/^([0-9auszn]|Enter|ArrowUp|ArrowDown)$/.test(key)) return;
    } else if (key === "ArrowDown" || key === "ArrowUp") {
      const move = key === "ArrowDown" ? 1 : -1;
      land(rows[held < 0 ? at : Math.min(Math.max(at + move, 0), rows.length - 1)]);
    } else if (key === "Enter" && (held >= 0 || document.activeElement === document.body)) {
      press(".st-key-submit button");
    } else if (buttons[key]) {
      press(buttons[key]);
    } else if (key === "n") {
      find('.st-key-label_form [data-testid="stTextInput"] input').focus();
    } else if (/^[0-9au]$/.test(key)) {
      const start = { a: "n/a", u: "unrateable" }[key] || key;
      const chip = [...rows[at].querySelectorAll('[role="radio"]')].find(
        (radio) => radio.textContent.trim().toLowerCase().split(" ")[0] === start,
      );
      if (!chip) return;
      if (chip.getAttribute("aria-checked") !== "true") chip.click();
      rows[at + 1] ? land(rows[at + 1]) : chip.focus();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }, true);
})();
