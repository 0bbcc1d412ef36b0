// Drives two nodes through a migration, a cancelled one and some errors, knowing proto/ alone.
//
// Usage: node interop.js WORLD, where WORLD is JSON:
//   {"protos": dir, "ca": file, "certificate": file, "key": file, "guest": name,
//    "source": {"name": ..., "address": ...}, "destination": {"name": ..., "address": ...}}
// The guest runs on the source; afterwards it runs on the destination.
"use strict";

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const { readFileSync } = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const MIB = 1 << 20;
const DEADLINE_MS = 60_000;
const LOADING = {
  keepCase: true, longs: String, enums: String, defaults: true, oneofs: true,
};

const world = JSON.parse(process.argv[2]);
const contract = grpc.loadPackageDefinition(
  protoLoader.loadSync(
    ["guest", "migration", "node", "peer"].map((name) => `bmig/v1/${name}.proto`),
    { ...LOADING, includeDirs: [world.protos] },
  ),
).bmig.v1;
const details = protoLoader.loadSync(path.join(__dirname, "status.proto"), LOADING);

const credentials = grpc.credentials.createSsl(
  readFileSync(world.ca), readFileSync(world.key), readFileSync(world.certificate),
);

/** One node: its services, with calls as promises. */
class Node {
  constructor({ name, address }) {
    this.name = name;
    this.clients = ["NodeService", "MigrationService", "PeerService"].map(
      (service) => new contract[service](
        address, credentials, { "grpc.ssl_target_name_override": name },
      ),
    );
  }

  _client(method) {
    const found = this.clients.find((client) => typeof client[method] === "function");
    assert.ok(found, `the contract has ${method}`);
    return found;
  }

  call(method, request) {
    const client = this._client(method);
    return new Promise((resolve, reject) => {
      client[method](request, { deadline: Date.now() + DEADLINE_MS }, (error, response) => {
        if (error) reject(error);
        else resolve(response);
      });
    });
  }

  /** Follow a migration to its end: every event, and the migration as it ended. */
  async watch(id, onEvent = () => {}) {
    const events = [];
    let migration = null;
    const stream = this._client("WatchMigration").WatchMigration(
      { id }, { deadline: Date.now() + DEADLINE_MS },
    );
    for await (const message of stream) {
      assert.equal(migration, null, "the migration comes in the last message");
      if (message.event) {
        events.push(message.event);
        onEvent(message.event);
      }
      migration = message.migration;
    }
    assert.ok(migration, "the stream ends with the migration");
    checkEvents(events);
    return { events, migration };
  }

  async guest(name) {
    const { guests } = await this.call("ListGuests", {});
    return guests.find((guest) => guest.definition.name === name);
  }

  /** The error of a call that must fail: its code and words, and the ErrorInfo in its trailer. */
  async refusal(method, request) {
    const error = await this.call(method, request).then(
      () => assert.fail(`${method} was expected to fail`),
      (raised) => raised,
    );
    const trailers = error.metadata?.get("grpc-status-details-bin") ?? [];
    assert.equal(trailers.length, 1, `details of: ${error.stack}`);
    const status = details["google.rpc.Status"].deserialize(trailers[0]);
    assert.equal(status.code, error.code);
    const packed = status.details.find((one) => one.type_url.endsWith("/google.rpc.ErrorInfo"));
    assert.ok(packed, "an ErrorInfo");
    const info = details["google.rpc.ErrorInfo"].deserialize(packed.value);
    assert.equal(info.domain, "bmig");
    return { code: grpc.status[error.code], message: status.message, info };
  }

  close() {
    for (const client of this.clients) client.close();
  }
}

/** What the contract promises of every stream of events. */
function checkEvents(events) {
  const kept = events.map((event) => Number(event.sequence)).filter((number) => number > 0);
  assert.deepEqual(kept, kept.map((_, index) => index + 1), "kept events are numbered from 1");
  for (const event of events) {
    assert.equal(event.kind === "progress", event.sequence === "0", "only samples are not kept");
  }
  const percents = events.filter((event) => event.progress).map((event) => event.progress.percent);
  assert.deepEqual(percents, percents.toSorted((a, b) => a - b), "percent never falls");
}

function step(words) {
  console.log(`ok: ${words}`);
}

async function describeNodes(source, destination) {
  for (const [node, other] of [[source, destination], [destination, source]]) {
    const { node: described, known_nodes: known } = await node.call("GetNode", {});
    assert.equal(described.name, node.name);
    assert.ok(described.drivers.includes("bhyve"));
    assert.deepEqual(known.map((one) => one.name), [other.name]);
    step(`GetNode ${node.name}: version ${described.version}`);
  }
  assert.equal((await source.guest(world.guest)).state, "GUEST_STATE_RUNNING");
  assert.equal(await destination.guest(world.guest), undefined);
  step(`ListGuests: ${world.guest} runs on ${source.name} only`);
}

async function check(source, destination) {
  const { findings, allowed } = await source.call("CheckMigration", {
    guest: world.guest, destination: destination.name,
  });
  for (const one of findings) {
    console.log(`    ${one.check}: ${one.verdict} ${one.reason} ${one.message}`);
  }
  assert.ok(findings.length > 0);
  assert.ok(findings.every((one) => one.verdict !== "VERDICT_FAILED"));
  assert.equal(allowed, true);
  step(`CheckMigration: allowed, ${findings.length} findings`);
}

async function migrate(source, destination) {
  const request = { id: randomUUID(), guest: world.guest, destination: destination.name };
  const { migration: started } = await source.call("StartMigration", request);
  assert.equal(started.id, request.id);
  assert.equal(started.side, "SIDE_SOURCE");
  step(`StartMigration ${request.id}: ${started.phase}`);

  const { events, migration } = await source.watch(request.id);
  assert.equal(migration.phase, "PHASE_COMPLETED", JSON.stringify(migration.failure));
  assert.equal(migration.failure, null);
  assert.equal(migration.progress.percent, 100);
  assert.ok(migration.report.rounds.length > 0);
  assert.match(migration.report.source_memory_root, /^[0-9a-f]{64}$/);
  assert.equal(migration.report.source_memory_root, migration.report.destination_memory_root);
  const kinds = new Set(events.map((event) => event.kind));
  for (const kind of ["phase", "round", "ended"]) assert.ok(kinds.has(kind), `a ${kind} event`);
  step(`WatchMigration: ${events.length} events, ${migration.phase}, `
    + `down for ${migration.report.downtime_us} us`);

  const { migration: repeated } = await source.call("StartMigration", request);
  assert.deepEqual(repeated, migration);
  step("StartMigration again with the same id: the same finished migration");

  assert.equal(await source.guest(world.guest), undefined);
  assert.equal((await destination.guest(world.guest)).state, "GUEST_STATE_RUNNING");
  step(`ListGuests: ${world.guest} runs on ${destination.name} only`);
}

async function cancel(source, destination) {
  const request = {
    id: randomUUID(),
    guest: world.guest,
    destination: destination.name,
    options: { bandwidth_limit_bytes_per_s: MIB },
  };
  await source.call("StartMigration", request);
  const limit = { id: request.id, bandwidth_limit_bytes_per_s: 2 * MIB };
  const { migration: limited } = await source.call("LimitBandwidth", limit);
  assert.equal(Number(limited.options.bandwidth_limit_bytes_per_s), 2 * MIB);
  step("LimitBandwidth: 2 MiB/s from now on");
  let cancelling = null;
  const { events, migration } = await source.watch(request.id, (event) => {
    if (event.phase === "PHASE_PRECOPY" && Number(event.progress?.sent_bytes) > 0) {
      cancelling ??= source.call("CancelMigration", { id: request.id });
    }
  });
  assert.ok(cancelling, "it was in precopy, with memory sent, before it ended");
  const { migration: answered } = await cancelling;
  assert.ok(events.every((event) => event.phase !== "PHASE_SWITCHOVER"));
  for (const one of [answered, migration]) {
    assert.equal(one.id, request.id);
    assert.equal(one.phase, "PHASE_ABORTED");
    assert.equal(one.failure.reason, "CANCELLED");
  }
  step(`CancelMigration in precopy: ${migration.phase}, ${migration.failure.reason}`);

  const { migration: repeated } = await source.call("CancelMigration", { id: request.id });
  assert.deepEqual(repeated, migration);
  step("CancelMigration again: the same finished migration");

  const over = await source.refusal("LimitBandwidth", limit);
  assert.equal(over.code, "FAILED_PRECONDITION");
  assert.equal(over.info.reason, "MIGRATION_OVER");
  step(`LimitBandwidth of a finished migration: ${over.code}, ${over.info.reason}`);

  assert.equal((await source.guest(world.guest)).state, "GUEST_STATE_RUNNING");
  assert.equal(await destination.guest(world.guest), undefined);
  step(`ListGuests: ${world.guest} still runs on ${source.name} only`);
}

async function errors(source, destination) {
  const unknown = await source.refusal("CheckMigration", {
    guest: "nobody", destination: destination.name,
  });
  assert.equal(unknown.code, "NOT_FOUND");
  assert.equal(unknown.info.reason, "GUEST_UNKNOWN");
  assert.match(unknown.message, /nobody/);
  assert.ok(unknown.info.metadata.advice, "what to do next");
  step(`unknown guest: ${unknown.code}, ${unknown.info.reason}`);

  const { definition } = await source.guest(world.guest);
  const denied = await destination.refusal("ExchangeCapabilities", {
    definition, protocol_versions: [1], probe_name: "0".repeat(32),
  });
  assert.equal(denied.code, "PERMISSION_DENIED");
  assert.equal(denied.info.reason, "DENIED");
  step(`PeerService as an operator: ${denied.code}, ${denied.info.reason}`);
}

async function main() {
  const [first, second] = [world.source, world.destination].map((one) => new Node(one));
  try {
    await describeNodes(first, second);
    await check(first, second);
    await migrate(first, second);
    await cancel(second, first);
    await errors(second, first);
  } finally {
    first.close();
    second.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
