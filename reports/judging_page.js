const table = document.querySelector("table.candidates");
for (const [column, heading] of [...(table ? table.tHead.rows[0].cells : [])].entries()) {
  const button = heading.querySelector("button");
  if (!button) continue;
  button.addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") !== "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => Number(row.cells[column].dataset.value);
    const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? value(b) - value(a) : value(a) - value(b)));
    table.tBodies[0].append(...rows);
    const grid = document.querySelector(".grid");
    for (const row of rows) grid.append(document.getElementById(row.dataset.grid));
  });
}
for (const button of document.querySelectorAll("button.copier")) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.text);
    } catch {
      const field = document.createElement("textarea");
      field.value = button.dataset.text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1600);
  });
}
