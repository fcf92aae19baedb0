// The theme a person chose, or the system's. Loaded before anything is drawn, so that no page flashes.

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  function dress() {
    const { theme } = root.dataset;
    const fromSystem = system.matches ? "dark" : "light";
    root.dataset.bsTheme = theme === "system" ? fromSystem : theme;
    for (const button of document.querySelectorAll(".theme-choice button")) {
      button.setAttribute("aria-pressed", String(button.value === theme));
    }
  }

  // The form of the account menu stores the choice; the page is dressed at once.
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".theme-choice button");
    if (!button) return;
    root.dataset.theme = button.value;
    dress();
  });
  system.addEventListener("change", dress);
  dress();
})();
