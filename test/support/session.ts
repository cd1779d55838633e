/** Runs the entries of a checkpoint's artifact; shared by the golden tests of all devices. */
import type { Artifact } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import { createSession, type Session } from "../../runtime/session.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { weightReader } from "../../runtime/weights/reader.js"

export const openSession = (
  { artifact }: { readonly artifact: Artifact },
  device: Device,
  checkpoint: Checkpoint,
): Promise<Session> =>
  createSession(artifact, device, {
    read: weightReader(checkpoint, checkpoint.tensors as Parameters<typeof weightReader>[1]),
  })

/** Logits of every position, fed in pieces of `chunk`. */
export const logitsOf = (session: Session, ids: readonly number[], chunk: number): Promise<Float32Array> =>
  logitsInPieces(session, ids, equalPieces(ids.length, chunk))

/** Sizes of pieces of `chunk`, the last one smaller. */
export const equalPieces = (length: number, chunk: number): number[] =>
  Array.from({ length: Math.ceil(length / chunk) }, (_, i) => Math.min(chunk, length - i * chunk))

/** Logits of the positions of `pieces`, fed in pieces of these sizes. */
export async function logitsInPieces(
  session: Session,
  ids: readonly number[],
  pieces: readonly number[],
): Promise<Float32Array> {
  const { vocabulary } = session.artifact.model!
  const all = new Float32Array(pieces.reduce((n, seq) => n + seq, 0) * vocabulary)
  let past = 0
  for (const seq of pieces) {
    const part = ids.slice(past, past + seq)
    session.write("inputs.tokens", new Uint8Array(Int32Array.from(part).buffer))
    session.run(["logits"], { past, seq })
    const bytes = await session.read("outputs.logits", seq * vocabulary * 4)
    all.set(new Float32Array(bytes.buffer, bytes.byteOffset, seq * vocabulary), past * vocabulary)
    past += seq
  }
  return all
}

/** `count` greedy tokens after a prompt. */
export async function greedyAfter(session: Session, ids: readonly number[], count: number): Promise<number[]> {
  const { chunk } = session.artifact.model!
  for (let past = 0; past < ids.length; past += chunk) {
    const part = ids.slice(past, past + chunk)
    session.write("inputs.tokens", new Uint8Array(Int32Array.from(part).buffer))
    session.run(["prefill"], { past, seq: part.length })
  }
  session.run(["greedy"], {})
  const tokens: number[] = []
  for (let n = 0; n < count; n++) {
    const bytes = await session.read("states.token", 4)
    tokens.push(new Int32Array(bytes.buffer, bytes.byteOffset, 1)[0]!)
    if (n + 1 < count) session.run(["step", "greedy"], { past: ids.length + n, seq: 1 })
  }
  return tokens
}
