for (const button of document.querySelectorAll("button.copier")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.of);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1600);
  });
}
for (const slider of document.querySelectorAll(".slider")) {
  const stops = [...document.querySelectorAll("input[name=strength]")];
  const move = (event) => {
    if (event.type === "pointermove" && event.buttons !== 1) return;
    const box = slider.getBoundingClientRect();
    const at = Math.round(((event.clientX - box.left) / box.width) * (stops.length - 1));
    stops[Math.max(0, Math.min(stops.length - 1, at))].checked = true;
  };
  slider.addEventListener("pointerdown", move);
  slider.addEventListener("pointermove", move);
}
