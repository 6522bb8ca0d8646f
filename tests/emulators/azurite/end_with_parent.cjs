// Preloaded by `node --require`: when the pipe that the test run holds is closed, by us or because the run died, so are we.
process.stdin.on("close", () => process.exit(0)).resume();
