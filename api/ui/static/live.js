// Keeps the live part of a domain's page up to date, by server-sent events. Without it, there is a link to refresh.
"use strict";
(() => {
  const live = document.getElementById("live");
  if (!live || !window.EventSource) return;
  const announce = document.getElementById("announce");
  const keeping = document.getElementById("keeping");
  const notKeeping = document.getElementById("not-keeping");
  // A button that was refused leaves its own address: whoever loads the page anew is not to press it again.
  history.replaceState(null, "", notKeeping.querySelector("a").href + location.hash);
  const AGAIN = 30000, UNSEEN = 30000; // milliseconds
  let version = live.dataset.version;
  let text = sentence();
  let source, later;

  function sentence() {
    const said = document.getElementById("sentence");
    return said ? said.textContent.trim() : "";
  }

  function say(on) {
    keeping.hidden = !on;
    notKeeping.hidden = on;
  }

  // Where somebody is within the part that is replaced: by id, or by what the element does.
  function place(element) {
    if (!element || !live.contains(element)) return null;
    if (element.id) return `#${CSS.escape(element.id)}`;
    if (element.tagName === "SUMMARY" && element.parentElement.id) return `#${CSS.escape(element.parentElement.id)} > summary`;
    if (element.dataset.copy) return `button[aria-label="${CSS.escape(element.getAttribute("aria-label"))}"]`;
    const form = element.closest("form");
    if (form) return `form[action="${CSS.escape(form.getAttribute("action"))}"] button`;
    return element.getAttribute("href") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : null;
  }

  function replace(html) {
    const selection = window.getSelection();
    if (selection && !selection.isCollapsed && live.contains(selection.anchorNode)) return false; // somebody is copying
    const focused = place(document.activeElement);
    const opened = [...live.querySelectorAll("details[open][id]")].map((one) => one.id);
    live.innerHTML = html;
    for (const id of opened) {
      const one = document.getElementById(id);
      if (one) one.open = true;
    }
    if (focused) {
      const again = live.querySelector(focused);
      if (again) again.focus({ preventScroll: true });
      else document.getElementById("main").focus({ preventScroll: true });
    }
    document.dispatchEvent(new Event("nameplate:live"));
    return true;
  }

  let waiting = null;
  function take(told) {
    waiting = null;
    if (!replace(told.html)) {
      waiting = told;
      return;
    }
    version = told.version;
    if (told.text !== text) {
      text = told.text;
      announce.textContent = text;
      document.querySelector(".said-no")?.remove(); // it was said of what is past now
    }
  }
  document.addEventListener("selectionchange", () => { if (waiting) take(waiting); });

  function open() {
    clearTimeout(later);
    if (source) source.close();
    source = new EventSource(`${live.dataset.events}?version=${encodeURIComponent(version)}`);
    source.addEventListener("open", () => say(true));
    source.addEventListener("live", (event) => take(JSON.parse(event.data)));
    source.addEventListener("over", () => {
      close();
      location.reload();
    });
    source.addEventListener("error", () => {
      say(false); // it comes back by itself, unless it was refused
      if (source.readyState === EventSource.CLOSED) later = setTimeout(open, AGAIN);
    });
  }

  function close() {
    clearTimeout(later);
    source.close();
  }

  // Browsers have few connections to a host: a page that nobody sees keeps none, and catches up when it is seen.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(later);
    if (document.hidden) later = setTimeout(close, UNSEEN);
    else if (source.readyState === EventSource.CLOSED) open();
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();

  // Times in words grow old on a page that stays open; the same words as the server's (api.ui.moments).
  const UNITS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  setInterval(() => {
    for (const time of live.querySelectorAll("time[datetime]")) {
      const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
      const size = Math.abs(seconds);
      if (!(size < 45 * 86400)) continue;
      const [unit, name] = UNITS.find(([one]) => size >= one) || UNITS[3];
      const number = Math.floor(size / unit);
      const amount = `${number} ${name}${number === 1 ? "" : "s"}`;
      time.textContent = size < 1 ? "now" : seconds > 0 ? `in ${amount}` : `${amount} ago`;
    }
  }, 10000);
})();
