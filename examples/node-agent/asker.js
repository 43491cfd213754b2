// Asks a shouter, tells it something, and prints both answers:   node asker.js [name of the shouter]

import { once } from "node:events";

import { Agent } from "./agent.js";
import { settings } from "./settings.js";

const [shouter = "acme/demo/shouter"] = process.argv.slice(2);
const agent = new Agent({ name: "acme/demo/asker", ...settings() });
await agent.open();

console.log(`answer: ${await agent.request(shouter, "how are you")}`);

const answered = once(agent, "message");
agent.publish(shouter, "good to hear");
const [message] = await answered;
console.log(`told: ${message}`);

agent.close();
