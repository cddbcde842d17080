// Text areas inside a container whose key starts with "live_" send what is typed at each pause, as Ctrl+Enter does.
(() => {
  if (window.workbenchLiveText) return;
  window.workbenchLiveText = true;
  const PAUSE_MS = 350;
  const waiting = new WeakMap();
  document.addEventListener("input", (event) => {
    const area = event.target;
    if (!(area instanceof HTMLTextAreaElement) || !area.closest('[class*="st-key-live_"]')) return;
    clearTimeout(waiting.get(area));
    if (event.isComposing) return; // half a character of an input method is no text yet
    waiting.set(area, setTimeout(() => {
      const send = { key: "Enter", code: "Enter", ctrlKey: true, bubbles: true, cancelable: true };
      if (area.isConnected) area.dispatchEvent(new KeyboardEvent("keydown", send));
    }, PAUSE_MS));
  }, true);
})();
