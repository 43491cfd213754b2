// Answers every request and every message in upper case, until Ctrl-C:   node shouter.js [name]

import { Agent } from "./agent.js";
import { settings } from "./settings.js";

const [name = "acme/demo/shouter"] = process.argv.slice(2);
const agent = new Agent({ name, ...settings() });

agent.onRequest((body) => body.toString().toUpperCase());
agent.on("message", (message) => {
  console.log(`told: ${message}`);
  agent.answer(message, message.toString().toUpperCase());
});
agent.on("open", () => console.log(`${name} listens as number ${agent.id}`));
agent.on("lost", ({ code, details }) => console.log(`lost: ${code} ${details}`));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => agent.close());

await agent.open();
