// Keys, copying, choosing many, dropping a file, and filters that apply when changed. Every page can be read without it.
"use strict";
const rows = () => [...document.querySelectorAll("[data-row]")];
const typing = (at) => at.matches("input, select, textarea, [contenteditable]");
let gone = false;
// The form of a row opens below it; asked for again, or by Escape, it closes.
const closeForm = (fix) => { if (fix) { const link = fix.previousElementSibling.querySelector("[data-correct]"); fix.remove(); link.focus(); } return fix; };
const formOf = (link) => { const next = link.closest("tr").nextElementSibling; return next && next.matches(".fix") ? next : null; };
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-correct]");
  if (link && closeForm(formOf(link))) { event.preventDefault(); event.stopPropagation(); }
}, true);
document.addEventListener("htmx:after:swap", () => {
  const at = document.activeElement, fix = at && at.matches("[data-correct]") && formOf(at);
  if (fix) (fix.querySelector("[data-focus]") || fix.querySelector("input:not([type=hidden])")).focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && closeForm(event.target.closest("tr.fix"))) return;
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (document.documentElement.dataset.keys === "off") return;
  if (gone) {
    gone = false;
    const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  if (event.key === "g") { gone = true; setTimeout(() => { gone = false; }, 1500); return; }
  if (event.key === "/") { const box = document.querySelector("#search"); if (box) { event.preventDefault(); box.focus(); } }
  if (event.key === "j" || event.key === "k") {
    const all = rows(), at = all.findIndex((row) => row.contains(document.activeElement));
    const next = all[event.key === "j" ? at + 1 : Math.max(at - 1, 0)];
    const link = next && next.querySelector("th a, td a");
    if (link) { link.focus(); link.scrollIntoView({ block: "nearest" }); }
  }
  if (event.key === "c" || event.key === "n") {
    const links = [...document.querySelectorAll("[data-correct]")], row = document.activeElement.closest("[data-row]");
    const at = links.findIndex((link) => row && row.contains(link));
    const link = event.key === "c" ? links[at] : links[(at + 1) % links.length];
    if (link) { link.focus(); link.scrollIntoView({ block: "nearest" }); if (event.key === "c") link.click(); }
  }
  if (event.key === "x") {
    const row = document.activeElement.closest("[data-row]"), box = row && row.querySelector("input[type=checkbox]");
    if (box) box.click();
  }
});
let last = null;
document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    navigator.clipboard.writeText(copy.dataset.copy).then(() => { copy.querySelector("span").textContent = copy.dataset.done; });
  }
  const box = event.target.closest("[data-row] input[type=checkbox]");
  if (box) {
    const all = [...document.querySelectorAll("[data-row] input[type=checkbox]")];
    if (event.shiftKey && last) {
      const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
      all.slice(from, to + 1).forEach((one) => { one.checked = box.checked; });
    }
    last = box;
  }
  const every = event.target.closest("[data-every]");
  if (every) document.querySelectorAll("[data-row] input[type=checkbox]").forEach((one) => { one.checked = every.checked; });
});
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-filters]");
  if (form && event.target.matches("select, input[type=date]")) form.requestSubmit();
});
const drop = document.querySelector("[data-drop]");
if (drop) {
  const input = drop.querySelector("input[type=file]");
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files.length) input.files = event.dataTransfer.files; });
}
const wrong = document.querySelector("[data-focus]");
if (wrong) wrong.focus();
