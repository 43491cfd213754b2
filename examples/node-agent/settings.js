// Where the gateway is and who we are, from the environment:
//
//   AGP_ADDRESS      host:port, 127.0.0.1:46357 if not set
//   AGP_CA           a file with the authority of the gateway's certificate; without it the connection is plaintext
//   AGP_CERTIFICATE  and AGP_KEY: files with a certificate of our own, for mutual TLS
//   AGP_TOKEN        an access token

import { readFileSync } from "node:fs";

import grpc from "@grpc/grpc-js";

export function settings(env = process.env) {
  const file = (name) => (env[name] ? readFileSync(env[name]) : null);
  return {
    address: env.AGP_ADDRESS ?? "127.0.0.1:46357",
    credentials: env.AGP_CA
      ? grpc.credentials.createSsl(file("AGP_CA"), file("AGP_KEY"), file("AGP_CERTIFICATE"))
      : grpc.credentials.createInsecure(),
    headers: env.AGP_TOKEN ? { authorization: `Bearer ${env.AGP_TOKEN}` } : {},
  };
}
