// The slider that lays the heat map over a cell's crop.

document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-heat]")) return;
  const picture = event.target.closest(".crop-with-map").querySelector(".heat");
  picture.style.opacity = event.target.value / 100;
});
