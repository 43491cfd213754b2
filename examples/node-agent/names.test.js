import assert from "node:assert/strict";
import { test } from "node:test";

import { encode, hashOf, sipHash13 } from "./names.js";

test("SipHash-1-3 with the key 0 gives what others compute", () => {
  assert.equal(sipHash13(Buffer.alloc(0)), 0xd1fba762150c532cn);
  assert.equal(sipHash13(Buffer.from([0, 1, 2, 3, 4, 5, 6, 7])), 0xead411e67ebe2eean);
});

const WORDS = {
  "": 3476900567878811119n,
  a: 8186225505942432243n,
  org: 9419094402983105844n,
  ns: 4274676990851994447n,
  default: 5672283188265106657n,
  gold: 17737147192252678659n,
  chat: 5008013762276672430n,
  Ünïcode: 2298437246186718013n,
  ["x".repeat(64)]: 4122821243578697437n,
};

for (const [word, hash] of Object.entries(WORDS)) {
  test(`the hash of '${word}' is that of the clients in Python`, () => assert.equal(hashOf(word), hash));
}

test("a name has three hashes, and a number only if one instance is meant", () => {
  const chat = { organization: "9419094402983105844", namespace: "4274676990851994447", agent_type: "5008013762276672430" };
  assert.deepEqual(encode("org/ns/chat"), chat);
  assert.deepEqual(encode("org/ns/chat", 5n), { ...chat, agent_id: "5" });
  assert.throws(() => encode("org/chat"), /no name/);
});
