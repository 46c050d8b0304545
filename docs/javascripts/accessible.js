// What the theme leaves out: code that scrolls can be reached by the keyboard, and the search dialog has a name.
document$.subscribe(() => {
  for (const code of document.querySelectorAll(".md-typeset pre > code")) code.tabIndex = 0;
  document.querySelector(".md-search[role=dialog]")?.setAttribute("aria-label", "Search");
  document.querySelectorAll("nav.md-nav[aria-labelledby]").forEach((nav) => {
    const label = document.getElementById(nav.getAttribute("aria-labelledby"));
    if (!label) return;
    const level = Number(nav.dataset.mdLevel) || 0;
    nav.removeAttribute("aria-labelledby");
    nav.setAttribute("aria-label", `${label.textContent.trim()}, level ${level}, ${nav.parentElement.id || "pages"}`);
  });
});
