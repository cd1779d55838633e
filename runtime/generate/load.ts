/**
 * An artifact on a device, ready to generate. Page-safe: the caller brings the device, the weights and the tokenizer.
 *
 *     const model = await load(await response.json(), { device, weights, tokenizer })
 */
import type { Artifact, ArtifactModel } from "../artifact.js"
import { checkArtifact } from "../artifact-check.js"
import type { Device } from "../devices/device.js"
import { WeftError } from "../errors.js"
import { checkedOptions, createSession, type SessionOptions } from "../session.js"
import { mostOf } from "../variants.js"
import type { WeightSource } from "../weights/upload.js"
import { createGenerator, factsOf, type GenerativeModel, type GeneratorOptions } from "./generator.js"
import { samplingOrder } from "./sampling.js"

export interface LoadOptions extends GeneratorOptions, SessionOptions {
  readonly device: Device
  readonly weights: WeightSource
}

/**
 * Checks the artifact, puts the weights on the device and makes the kernels ready, but for those of a prompt of which there are several for several
 * lengths: they are compiled when the first prompt of such a length comes.
 *
 * @throws WeftError `artifact/version`, `artifact/invalid`, `artifact/purpose` (a program), `session/target`, `session/binding`, `session/memory`, and what the device throws
 */
export async function load(artifact: unknown, options: LoadOptions): Promise<GenerativeModel> {
  checkedOptions(options)
  const checked = checkArtifact(artifact)
  const facts = factsOf(checked)
  const session = await createSession(checked, options.device, options.weights, { ...options, onDemand: true })
  try {
    checkInterface(checked, facts)
    return createGenerator(session, options)
  } catch (error) {
    session.dispose()
    throw error
  }
}

/** The buffers and entry points by which a generator speaks to the device. */
function checkInterface(artifact: Artifact, { chunk, vocabulary }: ArtifactModel): void {
  const needed = {
    "inputs.tokens": chunk * 4,
    "inputs.sampling": samplingOrder.length * 4,
    "outputs.logits": mostOf(artifact.entries.logits, "seq", chunk) * vocabulary * 4,
    "states.token": 4,
  }
  const missing = [
    ...["prefill", "step", "greedy", "sample", "draw", "logits"].filter(
      (name) => !Object.hasOwn(artifact.entries, name),
    ),
    ...Object.entries(needed)
      .filter(([name, bytes]) => !artifact.buffers.some((b) => b.name === name && b.bytes >= bytes))
      .map(([name]) => name),
    ...["past", "seq"].filter((name) => !artifact.symbols.some((s) => s.name === name)),
  ]
  if (missing.length > 0)
    throw new WeftError("artifact/invalid", `the artifact is not valid: it lacks ${missing.join(", ")}`, {
      hint: "compile the model again, with all its entry points",
    })
}
