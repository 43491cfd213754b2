// Names on the wire of AGP.
//
// An agent is called `organization/namespace/type`, and each instance of it has a number of 64 bits besides. A message does
// not carry these words. It carries one hash of 64 bits for each of the three, and the gateway routes on the hashes.
//
// The hash is SipHash-1-3 with the key 0, over the UTF-8 bytes of the word followed by one byte 0xff. Everybody can compute
// it, so it hides nothing and proves nothing.

const MASK = 0xffff_ffff_ffff_ffffn;

const rotl = (x, bits) => ((x << bits) | (x >> (64n - bits))) & MASK;

/** SipHash-1-3 with the key 0 of some bytes: a BigInt of 64 bits. */
export function sipHash13(bytes) {
  // The four words of state are these constants, xor the key, which is 0.
  let v0 = 0x736f_6d65_7073_6575n;
  let v1 = 0x646f_7261_6e64_6f6dn;
  let v2 = 0x6c79_6765_6e65_7261n;
  let v3 = 0x7465_6462_7974_6573n;

  const round = () => {
    v0 = (v0 + v1) & MASK; v1 = rotl(v1, 13n) ^ v0; v0 = rotl(v0, 32n);
    v2 = (v2 + v3) & MASK; v3 = rotl(v3, 16n) ^ v2;
    v0 = (v0 + v3) & MASK; v3 = rotl(v3, 21n) ^ v0;
    v2 = (v2 + v1) & MASK; v1 = rotl(v1, 17n) ^ v2; v2 = rotl(v2, 32n);
  };
  const compress = (word) => { v3 ^= word; round(); v0 ^= word; }; // one round a word: the 1 of 1-3

  // Words of eight bytes, little-endian. The last has what is left over, and the length modulo 256 in its highest byte.
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole = bytes.length - (bytes.length % 8);
  for (let at = 0; at < whole; at += 8) compress(view.getBigUint64(at, true));
  let last = BigInt(bytes.length & 0xff) << 56n;
  for (let at = whole; at < bytes.length; at++) last |= BigInt(bytes[at]) << BigInt(8 * (at - whole));
  compress(last);

  v2 ^= 0xffn;
  round(); round(); round(); // the 3 of 1-3
  return v0 ^ v1 ^ v2 ^ v3;
}

/** The hash of one word of a name: a BigInt. */
export function hashOf(word) {
  return sipHash13(Buffer.concat([Buffer.from(word, "utf8"), Buffer.of(0xff)]));
}

/** `organization/namespace/type` in three words. */
export function split(name) {
  const words = name.split("/");
  if (words.length !== 3 || words.some((word) => word === "")) throw new Error(`no name: ${name}`);
  return words;
}

/**
 * The protobuf message `Name`: hashes, and the number of an instance if one is meant.
 *
 * Numbers of 64 bits do not fit into those of JavaScript. proto-loader takes and gives them as decimal text.
 */
export function encode(name, id) {
  const [organization, namespace, agentType] = split(name).map((word) => String(hashOf(word)));
  return { organization, namespace, agent_type: agentType, ...(id === undefined ? {} : { agent_id: String(id) }) };
}
