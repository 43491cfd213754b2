// An agent on AGP: one gRPC stream over which it subscribes, publishes, asks and answers.
//
// This is a whole client in one file, written to be read by people who write one in another language. What it needs is
//
//   1. gRPC, and proto/agp.proto of this repository (loaded below as it is, no code is generated);
//   2. the hash of names (names.js);
//   3. the rules that the comments below begin with "Rule".

import { randomBytes, randomInt } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

import { encode } from "./names.js";

const PROTO = fileURLToPath(new URL("../../proto/agp.proto", import.meta.url));
const definition = protoLoader.loadSync(PROTO, { keepCase: true, longs: String, bytes: Buffer });
const { PubSubService } = grpc.loadPackageDefinition(definition).pubsub.proto.v1;

// What a message is within its session: `session.header_type`. The gateway does not look at it; it is between the two clients.
// Only 1 has meant the same in every version. The others are those of agp-bindings 0.3.5.
export const Kind = Object.freeze({ MESSAGE: 1, RELIABLE: 2, ACKNOWLEDGEMENT: 3, REQUEST: 6, REPLY: 7 });

// How many of those who match a destination get a message.
export const ALL = 0;
export const ANY = 1;

// A message of more encoded bytes is refused by the gateway, because a client in Python would lose its stream over it.
const MESSAGE_LIMIT_BYTES = 4_194_304;
// Higher numbers of sessions belong to topics.
const SESSION_LIMIT = 2 ** 32 - 1001;
const REOPEN_FIRST_MS = 250;
const REOPEN_LONGEST_MS = 10_000;

/**
 * An agent.
 *
 * Events: `message` with a `Message` that was not answered by `onRequest`; `open` when a stream stands, the first and
 * each after it was lost; `lost` with the gRPC status when it ends.
 */
export class Agent extends EventEmitter {
  #client;
  #metadata = new grpc.Metadata();
  #call = null;
  #closed = false;
  #subscriptions = new Map(); // key -> the Subscribe that is sent again on every new stream
  #waiting = new Map(); // session -> resolve of a request under way
  #handler = null;

  /**
   * `name` is "organization/namespace/type". `address` is "host:port". `credentials` is made by grpc.credentials: plaintext
   * if left out. `headers` go with the opening request, `{ authorization: "Bearer ..." }` for example.
   *
   * Rule: each instance has a number of its own, 64 bits except 2^64 - 1, which means "any". It is in every message as the
   * source, and answers come back to it; so it is chosen once and kept over reconnects.
   */
  constructor({ name, address, credentials = grpc.credentials.createInsecure(), headers = {}, id }) {
    super();
    this.name = name;
    this.id = id ?? randomBytes(8).readBigUInt64LE() >> 1n;
    this.source = encode(name, this.id);
    for (const [key, value] of Object.entries(headers)) this.#metadata.set(key, value);
    this.#client = new PubSubService(address, credentials, {
      "grpc.max_receive_message_length": MESSAGE_LIMIT_BYTES,
    });
    // Rule: subscribe to the own name with the own number, or nothing can be answered to this agent.
    this.subscribe(this.name, this.id);
  }

  /** Open the stream. Rejects with the gRPC error if the gateway refuses it. */
  async open() {
    const call = this.#client.OpenChannel(this.#metadata);
    // Rule: the stream stands when response headers have come. The gateway sends them at once; there is no other greeting.
    const headers = once(call, "metadata"); // rejects if "error" comes first
    call.on("data", (message) => this.#take(message));
    call.on("error", () => {}); // "status" always follows, and says the same
    call.on("status", (status) => this.#ended(call, status));
    await headers;
    this.#call = call;
    for (const message of this.#subscriptions.values()) this.#send(message);
    this.emit("open");
  }

  /** End the stream for good. */
  close() {
    this.#closed = true;
    this.#call?.end();
    this.#client.close();
  }

  /**
   * Receive what is sent to a name: as one of its instances without a number, as that instance with one.
   *
   * Rule: a Subscribe is not acknowledged, and one that the gateway's policy refuses is dropped in silence. Subscriptions end
   * with the stream, so they are sent again on the next.
   */
  subscribe(name, id) {
    const [organization, namespace, agentType] = name.split("/");
    const header = { source: this.source, destination: encode(name, id), fanout: ANY };
    const message = { subscribe: { header, organization, namespace, agent_type: agentType } };
    this.#subscriptions.set(`${name} ${id}`, message);
    if (this.#call) this.#send(message);
  }

  /** The opposite of `subscribe` with the same arguments. */
  unsubscribe(name, id) {
    const header = { source: this.source, destination: encode(name, id), fanout: ANY };
    this.#subscriptions.delete(`${name} ${id}`);
    if (this.#call) this.#send({ unsubscribe: { header } });
  }

  /**
   * Send some bytes to an instance of a name (`fanout: ANY`), to several or to all; with `id` to that one.
   *
   * Rule: a message never comes back to the connection that it was sent on, whatever that is subscribed to.
   * Rule: a message for which nobody is subscribed is dropped; the gateway counts it and says nothing.
   */
  publish(name, body, { id, fanout = ANY } = {}) {
    this.#publish(encode(name, id), { header_type: Kind.MESSAGE, session_id: newSession(), message_id: newNumber() }, body, fanout);
  }

  /** Ask one instance of a name. Resolves with its answer; rejects after `timeoutMs`. */
  async request(name, body, { id, timeoutMs = 1000 } = {}) {
    const session = { header_type: Kind.REQUEST, session_id: newSession(), message_id: newNumber() };
    const { promise, resolve, reject } = pending();
    const timer = setTimeout(() => reject(new Error(`no answer from ${name} in ${timeoutMs} ms`)), timeoutMs);
    this.#waiting.set(session.session_id, resolve);
    try {
      this.#publish(encode(name, id), session, body, ANY);
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(session.session_id);
    }
  }

  /** Answer requests: `handler(body, message)` gives the bytes of the answer, or a promise of them. */
  onRequest(handler) {
    this.#handler = handler;
  }

  /**
   * Send some bytes to the sender of a message.
   *
   * Rule: an answer goes to the source of the message with the source's number, in the session of the message. A reply has
   * the message's number too, and the kind that the other side waits for.
   */
  answer(message, body) {
    const kind = message.kind === Kind.REQUEST ? Kind.REPLY : message.kind;
    this.#publish(message.source, { ...message.session, header_type: kind }, body, ANY);
  }

  #publish(destination, session, body, fanout) {
    const header = { source: this.source, destination, fanout };
    // Rule: session and content must be there, empty or not, and the content type of applications is "msg".
    this.#send({ publish: { header, session, msg: { content_type: "msg", blob: Buffer.from(body) } } });
  }

  #send(message) {
    if (!this.#call) throw new Error("there is no stream");
    this.#call.write(message);
  }

  #take({ publish }) {
    if (!publish?.header?.source || !publish.session) return;
    const message = new Message(publish);
    switch (message.kind) {
      case Kind.RELIABLE:
        // The sender sends it again until this comes. No payload, but content there must be.
        this.#publish(message.source, { ...message.session, header_type: Kind.ACKNOWLEDGEMENT }, "", ANY);
        this.emit("message", message);
        break;
      case Kind.REQUEST:
        if (this.#handler) this.#reply(message);
        else this.emit("message", message);
        break;
      default: {
        // Rule: an answer is known by its session. One that comes from an agent of another dialect is a plain message.
        const resolve = this.#waiting.get(message.session.session_id);
        if (resolve) resolve(message.body);
        else if (message.kind === Kind.MESSAGE) this.emit("message", message);
      }
    }
  }

  async #reply(message) {
    const answer = await this.#handler(message.body, message);
    if (this.#call) this.answer(message, answer);
  }

  #ended(call, status) {
    if (call !== this.#call) return; // `open` tells of those that have never stood
    this.#call = null;
    if (this.#closed) return;
    this.emit("lost", status);
    this.#reopen(REOPEN_FIRST_MS);
  }

  /**
   * Rule: a stream that has ended is opened again, but not at once: a gateway that restarts, or that refuses, would be asked
   * hundreds of times a second.
   */
  #reopen(delayMs) {
    setTimeout(async () => {
      if (this.#closed) return;
      try {
        await this.open();
      } catch {
        this.#reopen(Math.min(2 * delayMs, REOPEN_LONGEST_MS));
      }
    }, delayMs * (0.5 + Math.random()));
  }
}

/** What has come: `body`, `source` (a Name of hashes and number), `kind`, `session`. */
export class Message {
  constructor({ header, session, msg }) {
    this.source = header.source;
    this.body = msg?.blob ?? Buffer.alloc(0);
    // proto3 leaves out what is 0.
    this.session = { header_type: 0, session_id: 0, message_id: 0, ...session };
    this.kind = this.session.header_type;
  }

  toString() {
    return this.body.toString("utf8");
  }
}

const newSession = () => randomInt(1, SESSION_LIMIT);
const newNumber = () => randomInt(1, 2 ** 32);

function pending() {
  let resolve, reject;
  const promise = new Promise((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
}
