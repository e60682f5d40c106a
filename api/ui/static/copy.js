// Buttons that copy what stands beside them. Without it, the values are text to be selected.
"use strict";
(() => {
  if (!navigator.clipboard) return;
  const show = (root) => root.querySelectorAll("button.copy[hidden]").forEach((button) => { button.hidden = false; });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest && event.target.closest("button.copy");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      return;
    }
    button.textContent = "Copied";
    const announce = document.getElementById("announce");
    if (announce) announce.textContent = `${button.getAttribute("aria-label").replace("Copy", "Copied")}.`;
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
  document.addEventListener("nameplate:live", () => show(document));
  show(document);
})();
