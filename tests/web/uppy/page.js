// What a page does with Uppy, as its documentation says; the tests call these two and read window.told.
import Uppy from "@uppy/core";
import Tus from "@uppy/tus";
import AwsS3 from "@uppy/aws-s3";

function begin() {
  const uppy = new Uppy();
  window.told = { progress: 0, errors: [], retries: 0, complete: null };
  uppy.on("progress", (percent) => (window.told.progress = percent));
  uppy.on("upload-error", (file, error) => window.told.errors.push(error.message));
  uppy.on("complete", (result) => {
    window.told.complete = [result.successful.length, result.failed.length];
  });
  window.uppy = uppy;
  return uppy;
}

function send(uppy) {
  for (const file of document.querySelector("input").files) {
    uppy.addFile({ name: file.name, type: file.type, data: file });
  }
  uppy.upload();
}

window.resumable = (chunkSize) => {
  send(
    begin().use(Tus, {
      endpoint: "/uploads/",
      chunkSize,
      retryDelays: [200, 400, 800, 1600, 3200],
      allowedMetaFields: ["name", "type"],
      onShouldRetry(error, attempt, options, next) {
        window.told.retries += 1;
        return next(error);
      },
    }),
  );
};

window.straight = () => {
  send(
    begin().use(AwsS3, {
      shouldUseMultipart: false,
      generateObjectKey: (file) => file.name,
      async signRequest({ key, contentType }) {
        const answer = await fetch("/sign", { method: "POST", body: JSON.stringify({ key, contentType }) });
        if (!answer.ok) throw new Error(`not signed: ${answer.status}`);
        const link = await answer.json();
        return { ...link, url: new URL(link.url, window.location).href }; // Uppy wants whole addresses
      },
    }),
  );
};
