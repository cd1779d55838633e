/** A session that says what it is told to: no device, no compiler. */
import type { Session } from "../../runtime/session.js"

/** A session whose choices are `tokens`, one after the other, then 0 for ever, and whose device has so many submits under way. */
export function scripted(tokens: readonly number[], ahead = 1): { readonly session: Session; readonly log: string[] } {
  const entry = { launches: [] }
  const log: string[] = []
  let at = -1
  const session = {
    artifact: {
      model: { family: "script", context: 64, chunk: 4, vocabulary: 4096, endTokens: [4093] },
      entries: { prefill: entry, step: entry, greedy: entry, sample: entry, draw: entry, logits: entry },
    },
    device: { kind: "wasm", description: "a script", ahead, counters: { pipelines: 0, submits: 0, commands: 0 } },
    timings: { upload: 0, compile: 0 },
    begin: () => log.push("begin"),
    prepare: async () => {},
    run(entries: readonly string[], { past, seq }: { past: number; seq: number }) {
      log.push(`${entries.join("+")} ${past} ${seq}`)
      if (entries.some((e) => e === "greedy" || e === "sample" || e === "draw")) at++
    },
    write: (name: string, data: Uint8Array) => log.push(`${name} ${data.length / 4}`),
    read: async (name: string, bytes: number) =>
      name === "outputs.logits" ? new Uint8Array(bytes) : new Uint8Array(Int32Array.of(tokens[at] ?? 0).buffer),
    dispose: () => log.push("dispose"),
  } as unknown as Session
  return { session, log }
}
