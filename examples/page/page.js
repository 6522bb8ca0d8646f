// Uploads by tus 1.0: with a progress bar, pause and resume, over dropped connections and after a reload.
// Without this script the form is an ordinary one.
"use strict";

const VERSION = { "Tus-Resumable": "1.0.0" };
const WAITS = [500, 1000, 2000, 5000, 10000, 15000];
const field = document.querySelector("#file");
const zone = document.querySelector("#drop");

const encoded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const failure = (status, text) => Object.assign(new Error(text.trim() || `status ${status}`), { status });
const passes = (status) => !status || status >= 500 || [404, 408, 409, 410, 429].includes(status);
const pause = (milliseconds) => new Promise((resolve) => {
  setTimeout(resolve, milliseconds);
  addEventListener("online", resolve, { once: true });
});

// The list anew, without a reload, which would end the other uploads; one at a time, so that none is overtaken.
let listed = Promise.resolve();
const refresh = () => (listed = listed.then(async () => {
  const page = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
  document.querySelector("table").replaceWith(page.querySelector("table"));
}).catch(() => {}));

class Upload {
  constructor(file) {
    this.file = file;
    this.key = `upload ${file.name} ${file.size} ${file.lastModified}`;
    this.row = document.createElement("div");
    this.row.className = "upload";
    const name = Object.assign(document.createElement("span"), { className: "name", textContent: file.name });
    this.bar = Object.assign(document.createElement("progress"), { max: 1, value: 0 });
    this.bar.setAttribute("aria-label", `Upload of ${file.name}`);
    this.state = document.createElement("span");
    this.button = Object.assign(document.createElement("button"), { type: "button", textContent: "Pause" });
    this.cancel = Object.assign(document.createElement("button"), { type: "button", textContent: "Cancel" });
    this.button.onclick = () => (this.running ? this.stop() : this.start());
    this.cancel.onclick = () => this.remove();
    this.row.append(name, this.bar, this.state, this.button, this.cancel);
    document.querySelector("#uploads").append(this.row);
  }

  async start() {
    const run = (this.running = {}); // another one after a pause and a resume
    this.button.textContent = "Pause";
    for (let failures = 0; this.running === run; ) {
      try {
        if (await this.step(run)) return this.end();
        failures = 0;
      } catch (error) {
        if (this.running !== run) return;
        if (!passes(error.status)) return this.fail(error);
        const why = error.status === 409 ? "another tab sends it" : error.status ? error.message : "connection lost";
        this.state.textContent = `${why}, trying again`;
        await pause(WAITS[Math.min(failures++, WAITS.length - 1)]);
      }
    }
  }

  async step(run) {
    let offset = await this.offset();
    if (offset < this.file.size && this.running === run) offset = await this.send(offset);
    return offset === this.file.size;
  }

  async offset() {
    const known = localStorage.getItem(this.key);
    if (known) {
      this.begun = true;
      const answer = await fetch(known, { method: "HEAD", headers: VERSION });
      if (answer.ok) return Number(answer.headers.get("Upload-Offset"));
      if (answer.status !== 404 && answer.status !== 410) throw failure(answer.status, "");
    } else if (this.begun) return this.file.size; // another tab has ended it
    const metadata = `filename ${encoded(this.file.name)}`;
    const headers = { ...VERSION, "Upload-Length": this.file.size, "Upload-Metadata": metadata };
    const answer = await fetch("/uploads/", { method: "POST", headers });
    if (answer.status !== 201) throw failure(answer.status, await answer.text());
    localStorage.setItem(this.key, answer.headers.get("Location"));
    this.begun = true;
    return 0;
  }

  send(offset) {
    return new Promise((resolve, reject) => {
      const request = (this.request = new XMLHttpRequest());
      request.open("PATCH", localStorage.getItem(this.key));
      const headers = { ...VERSION, "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      request.upload.onprogress = (event) => this.show(offset + event.loaded);
      request.onload = () => {
        if (request.status === 204) resolve(Number(request.getResponseHeader("Upload-Offset")));
        else reject(failure(request.status, request.responseText));
      };
      request.onerror = request.onabort = () => reject(failure(0, "connection lost"));
      request.send(this.file.slice(offset));
    });
  }

  show(done) {
    this.bar.value = this.file.size ? done / this.file.size : 1;
    this.state.textContent = `${Math.round(this.bar.value * 100)} %`;
  }

  stop() {
    this.running = null;
    this.request?.abort();
    this.button.textContent = "Resume";
    this.state.textContent = "paused";
  }

  async remove() {
    this.stop();
    const known = localStorage.getItem(this.key);
    localStorage.removeItem(this.key);
    this.row.remove();
    if (known) await fetch(known, { method: "DELETE", headers: VERSION });
  }

  fail({ status, message }) {
    this.running = null;
    if ([404, 410, 413, 415].includes(status)) {
      localStorage.removeItem(this.key);
      this.begun = false;
    } // else it can go on
    this.button.textContent = "Try again";
    this.state.textContent = message;
  }

  async end() {
    this.running = null;
    localStorage.removeItem(this.key);
    this.show(this.file.size);
    await refresh();
    this.row.remove();
  }
}

const take = (files) => [...files].forEach((file) => new Upload(file).start());

zone.addEventListener("submit", (event) => {
  event.preventDefault();
  take(field.files);
  field.value = "";
});
for (const kind of ["dragenter", "dragover"]) {
  zone.addEventListener(kind, (event) => { event.preventDefault(); zone.classList.add("over"); });
}
zone.addEventListener("dragleave", () => zone.classList.remove("over"));
zone.addEventListener("drop", (event) => {
  event.preventDefault();
  zone.classList.remove("over");
  take(event.dataTransfer.files);
});
