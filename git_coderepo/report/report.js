"use strict";
// Without this script every page shows all of its content; it adds sorting, filtering and buttons to copy.

// Sort a table by a column, as the buttons in its heads ask for.
function sortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const original = [...body.rows];
  const order = new Intl.Collator("en", { numeric: true });
  const value = (row, at) => row.cells[at].dataset.v ?? row.cells[at].textContent;
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] ?? "ascending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      let rows = original;
      if (next !== "none") {
        head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        rows = [...original].sort((a, b) => sign * order.compare(value(a, at), value(b, at)));
      }
      body.append(...rows);
    });
  });
}

// Show only the rows that contain all words and have the chosen state.
function filterable(form, table) {
  const words = form.querySelector("#words");
  const state = form.querySelector("#state");
  const count = form.querySelector("#count");
  const rows = [...table.tBodies[0].rows].map((row) => [
    row,
    row.textContent.toLowerCase(),
    row.querySelector(".state").textContent,
  ]);
  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const [row, text, of] of rows) {
      row.hidden = !(wanted.every((word) => text.includes(word)) && (!state.value || state.value === of));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} runs`;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

// Add a button that copies a command, or selects it where the browser does not let a page copy.
function copyable(box) {
  const code = box.querySelector("code");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${code.textContent}`);
  const status = document.createElement("span");
  status.className = "unseen";
  status.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = status.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = status.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; status.textContent = ""; }, 2000);
  });
  box.append(button, status);
}

const runs = document.getElementById("runs");
if (runs) {
  sortable(runs);
  filterable(document.getElementById("filter"), runs);
}
document.querySelectorAll(".copy").forEach(copyable);
