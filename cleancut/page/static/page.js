// What a page does besides showing: commands are copied, and the stream's state is shown.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (button === null) return;
  let done = "Copied";
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    const range = document.createRange();
    range.selectNodeContents(button.previousElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    done = "Selected";
  }
  const before = button.textContent;
  button.textContent = done;
  setTimeout(() => { button.textContent = before; }, 1500);
});

function showStream(text, off) {
  const sign = document.getElementById("stream");
  if (sign === null) return;
  sign.hidden = false;
  sign.textContent = text;
  sign.classList.toggle("off", off);
}
document.addEventListener("htmx:sseOpen", () => showStream("live", false));
document.addEventListener("htmx:sseError", () => showStream("not connected", true));
