/** A generation that is ended at any position, by its reader or a signal: with steps ahead of the host, nothing of it is left. */
import { expect } from "vitest"
import type { Artifact } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import { createGenerator, type GenerativeModel } from "../../runtime/generate/generator.js"
import type { GenerateOptions } from "../../runtime/generate/options.js"
import { createSession } from "../../runtime/session.js"

export const [context, vocab] = [24, 7]
const head = Float32Array.from({ length: vocab * 4 }, (_, i) => Math.sin(i + 1))
/** Rows of the last token are no numbers. */
const weights: Readonly<Record<string, Float32Array>> = {
  head,
  table: head.map((x, i) => (i < head.length - 4 ? x : Number.NaN)),
}

/** A model of `stateful-model.ts` on a device that is said to have `ahead` submits under way. */
export async function openStateful(artifact: Artifact, device: Device, ahead = 1): Promise<GenerativeModel> {
  const read = async ({ tensor }: { readonly tensor: string }, at: number, length: number) =>
    new Uint8Array(weights[tensor]!.buffer as ArrayBuffer, at, length)
  const session = await createSession(artifact, device, { read })
  return createGenerator({ ...session, device: Object.create(device, { ahead: { value: ahead } }) })
}

/** The tokens that a reader has seen who ends a generation at one of them. */
async function endAt(model: GenerativeModel, position: number, kind: "break" | "abort", options: GenerateOptions) {
  const controller = new AbortController()
  const seen: number[] = []
  for await (const { tokens } of model.generate([1, 2], { ...options, maxTokens: 20, signal: controller.signal })) {
    seen.push(...tokens)
    if (seen.length < position) continue
    if (kind === "break") break
    controller.abort()
  }
  return seen
}

/** Each way of choosing tokens, ended at each position and then asked for the whole, gives what a fresh model gives. */
export async function checkEndings(
  artifact: Artifact,
  device: Device,
  ways: readonly GenerateOptions[],
  aheads: readonly number[],
  maxTokens: number,
): Promise<void> {
  const fresh = await openStateful(artifact, device)
  for (const options of ways) {
    const whole = { ...options, maxTokens }
    const wanted = (await fresh.generate([1, 2], whole)).tokens
    for (const ahead of aheads) {
      const used = await openStateful(artifact, device, ahead)
      for (let position = 1; position <= wanted.length; position++)
        for (const kind of ["break", "abort"] as const) {
          const seen = await endAt(used, position, kind, options)
          // One token more may have been on its way to the reader.
          expect(seen.length - position, `${kind} at ${position}`).toBeLessThanOrEqual(1)
          expect(seen.slice(0, position)).toEqual(wanted.slice(0, position))
          expect((await used.generate([1, 2], whole)).tokens).toEqual(wanted)
        }
      used.dispose()
    }
  }
  fresh.dispose()
}
