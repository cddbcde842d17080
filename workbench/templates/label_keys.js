// Keys of the Label page: a digit grades the row in focus (or the first open one) and moves on, N is N/A,
// U unrateable, the up and down arrows move between rows, Enter sends the form. Text fields keep their keys.
(() => {
  if (window.workbenchLabelKeys) return;
  window.workbenchLabelKeys = true;
  const checked = (row) => row.querySelector('[role="radio"][aria-checked="true"]');
  const land = (row) => row && (checked(row) || row.querySelector('[role="radio"]')).focus();
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest('input, textarea, [contenteditable="true"], [role="dialog"]')) return;
    const form = document.querySelector(".st-key-label_form");
    const rows = form ? [...form.querySelectorAll('[role="radiogroup"]')] : [];
    if (!rows.length) return;
    const held = rows.findIndex((row) => row.contains(document.activeElement));
    const open = rows.findIndex((row) => !checked(row));
    const at = held >= 0 ? held : Math.max(open, 0);
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) {
      land(rows[held < 0 ? at : Math.min(Math.max(at + move, 0), rows.length - 1)]);
    } else if (event.key === "Enter" && held >= 0) {
      form.querySelector(".st-key-submit button").click();
    } else if (/^[0-9nu]$/i.test(event.key)) {
      const start = { n: "n/a", u: "unrateable" }[event.key.toLowerCase()] || event.key;
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
