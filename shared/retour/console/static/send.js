// A file too large to come by us is put to the address we are told, with its progress; then the page shows it.
"use strict";
{
  const form = document.querySelector("#send"), file = form.querySelector("#file"), wrong = form.querySelector("#w-file");
  const bar = form.querySelector("#upload"), button = form.querySelector("button.primary"), title = document.title;
  const say = (text) => { wrong.textContent = text; wrong.hidden = !text; file.toggleAttribute("aria-invalid", Boolean(text)); bar.hidden = true; button.disabled = false; document.title = title; if (text) file.focus(); };
  const put = (url, body) => new Promise((done, broken) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => {
      const percent = Math.floor(100 * event.loaded / (event.total || body.size));
      bar.querySelector("progress").value = percent;
      document.title = `${percent} % · ${title}`;
    };
    request.onload = () => request.status < 300 ? done() : broken();
    request.onerror = request.onabort = broken;
    request.open("PUT", url);
    request.send(body);
  });
  form.addEventListener("submit", async (event) => {
    const chosen = file.files[0];
    if (!chosen || chosen.size <= Number(form.dataset.most)) return;
    event.preventDefault();
    say("");
    bar.hidden = false;
    button.disabled = true;
    const asked = new URLSearchParams({ csrf: form.elements.csrf.value, source: form.elements.source.value, name: chosen.name, size: chosen.size });
    try {
      const answer = await fetch(form.dataset.address, { method: "POST", body: asked });
      const told = await answer.json();
      if (!answer.ok) { say(told.wrong || form.dataset.broken); return; }
      await put(told.url, chosen);
    await fetch(told.then, { method: "POST", body: new URLSearchParams({ csrf: form.elements.csrf.value, step: "look" }) });
      location.assign(told.then);
    } catch { say(form.dataset.broken); }
  });
}
