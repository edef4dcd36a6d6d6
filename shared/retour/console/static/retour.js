// Keys, copying, choosing many, dropping a file, rows that open in place. Every page can be read without it.
"use strict";
const first = (query) => document.querySelector(query), every = (query) => [...document.querySelectorAll(query)];
const on = (name, does, early) => document.addEventListener(name, does, early);
const boxes = "[data-row] input[type=checkbox]", kept = sessionStorage;
const typing = (at) => at.matches("input, select, textarea, [contenteditable]");
const say = (address) => history.replaceState(history.state, "", address);
// The list one came from: its rows for [ and ], its address for the way back.
const place = (address) => { const at = new URL(address, location); return at.pathname + at.searchParams.get("id"); };
const came = JSON.parse(kept.getItem("rows") || "[]"), list = kept.getItem("list"), back = first("a.back");
if (back && list && place(list) === place(back.href)) back.href = list;
const walk = (by) => {
  const at = came.findIndex((one) => place(one) === place(location));
  if (at >= 0 && came[at + by]) location.href = came[at + by];
};
// Menus close with Esc, which goes back to their button, and by a click elsewhere; one at a time is open.
const menus = () => every("details.menu[open]");
on("click", ({ target }) => menus().forEach((one) => { if (!one.contains(target)) one.open = false; }));
on("keydown", (event) => {
  const open = event.key === "Escape" && (event.target.closest("details.menu[open]") || menus()[0]);
  if (open) { open.open = false; open.querySelector("summary").focus(); event.preventDefault(); }
});
let gone = false;
on("keydown", (event) => {
  const key = event.key, named = (name) => `[data-${name}="${CSS.escape(key)}"]`;
  const fix = key === "Escape" && event.target.closest("tr.fix > td"), opener = fix && first(`[aria-controls="${fix.id}"]`);
  if (opener) { opener.click(); opener.focus(); }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (document.documentElement.dataset.keys === "off") return;
  if (key === "g" && !gone) { gone = true; setTimeout(() => { gone = false; }, 1500); return; }
  const rows = every("[data-row]"), at = rows.findIndex((row) => row.contains(document.activeElement)), row = rows[at];
  let does = gone ? first(named("go")) : row?.querySelector(named("key")) || row?.nextElementSibling?.querySelector(named("key"))
    || every(named("key")).find((one) => !one.closest("tbody"));
  gone = false;
  if (key === "x") does = row?.querySelector("input[type=checkbox]");
  if (key === "n") {
    const links = every("[data-key=c]"), next = links[(links.findIndex((link) => row?.contains(link)) + 1) % links.length];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  }
  if (key === "[" || key === "]") walk(key === "]" ? 1 : -1);
  if (key === "/") { event.preventDefault(); first("#search")?.focus(); }
  if (key === "j" || key === "k") {
    const next = rows[key === "j" ? at + 1 : Math.max(at - 1, 0)], link = next?.querySelector("th a") || next?.querySelector("td a");
    if (link) { link.focus(); link.scrollIntoView({ block: "nearest" }); }
  }
  if (does) { event.preventDefault(); does.click(); }
});
let last = null;
on("click", (event) => {
  const at = (query) => event.target.closest(query), row = at("[data-row][id]"), copy = at("[data-copy]"), shut = at("[data-shut]");
  if (row && at("th a")) {
    say("#" + row.id);
    kept.setItem("list", location.href);
    kept.setItem("rows", JSON.stringify(every("[data-row] th a").map((one) => one.href)));
  }
  if (shut) { event.preventDefault(); say(shut.href); shut.closest("[data-toast]").remove(); }
  if (at("[href='/console/keys']")) { event.preventDefault(); first("#keys").showModal(); }
  if (copy) navigator.clipboard.writeText(copy.dataset.copy).then(() => { copy.querySelector("span").textContent = copy.dataset.done; });
  const box = at(boxes), whole = at("[data-every]");
  if (box) {
    const all = every(boxes), [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
    if (event.shiftKey && last) all.slice(from, to + 1).forEach((one) => { one.checked = box.checked; });
    last = box;
  }
  if (whole) every(boxes).forEach((one) => { one.checked = whole.checked; });
});
// A row opens in its place; what it shows is asked for once, and the address keeps which one is open.
on("click", (event) => {
  const more = event.target.closest("a[aria-expanded]");
  if (!more || event.ctrlKey || event.metaKey) return;
  const cell = document.getElementById(more.getAttribute("aria-controls")), row = cell.parentElement, here = new URL(more.href);
  if (!row.hidden) here.searchParams.delete("open");
  say(here);
  row.hidden = !row.hidden;
  more.setAttribute("aria-expanded", !row.hidden);
  event.preventDefault();
  if (row.hidden || cell.childElementCount) event.stopImmediatePropagation();
}, true);
on("htmx:after:swap", () => {
  const cell = document.getElementById(document.activeElement.getAttribute("aria-controls"));
  cell?.querySelector("[data-focus]")?.focus();
});
on("input", ({ target }) => {
  const name = target.dataset.names && JSON.parse(target.dataset.names)[target.value];
  if (name) { target.setAttribute("aria-valuetext", name); target.nextElementSibling.value = name; }
});
on("change", ({ target }) => {
  if (target.dataset.names) say(`?${new URLSearchParams(new FormData(target.form))}`);
  const form = target.closest("form[data-filters]");
  if (form && target.matches("select, input[type=date]")) form.requestSubmit();
});
const drop = first("[data-drop]");
if (drop) {
  const input = drop.querySelector("input[type=file]"), over = (is) => drop.classList.toggle("over", is);
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); over(true); });
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => over(false));
  drop.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files.length) input.files = event.dataTransfer.files; });
}
first("[data-focus]")?.focus();
addEventListener("pageshow", () => document.getElementById(location.hash.slice(1))?.querySelector("th a")?.focus());
