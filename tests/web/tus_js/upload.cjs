// Uploads a file as the documentation of tus-js-client says, and tells how far it is, a line each.
"use strict";

const fs = require("node:fs");
const { createRequire } = require("node:module");

const [modules, endpoint, path, cut] = process.argv.slice(2);
const tus = createRequire(`${modules}/`)("tus-js-client");
let told = false;

const upload = new tus.Upload(fs.createReadStream(path), {
  endpoint,
  chunkSize: 6 << 20,
  uploadSize: fs.statSync(path).size,
  retryDelays: [200, 400, 800, 1600, 3200],
  metadata: { filename: "ü film.bin", filetype: "application/octet-stream" },
  onProgress(sent, total) {
    if (!told && sent > total * Number(cut)) {
      told = true;
      console.log("far enough");
    }
  },
  onShouldRetry(error, attempt) {
    console.log("retry");
    return true;
  },
  onError(error) {
    console.log(`failed: ${error.message.slice(0, 200)}`);
    process.exitCode = 1;
  },
  onSuccess() {
    console.log("done");
  },
});
upload.start();
