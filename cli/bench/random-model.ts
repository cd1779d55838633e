/**
 * A model of a config alone: its weights are random, so that its speed can be measured without a checkpoint.
 *
 *     weft bench --config qwen3-8b.json --random-weights [--weights q4_k]
 *
 * Matrices are uniform with the variance of one over their row, vectors are near one: activations keep their size from layer to layer, the
 * logits differ, and a router spreads tokens over its members.
 */
import { resolve } from "node:path"
import { configOf } from "../../compiler/frontend/host.js"
import type { ArtifactWeight } from "../../runtime/artifact.js"
import { load } from "../../runtime/generate/load.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { narrower } from "../../runtime/weights/narrow.js"
import type { WeightSource } from "../../runtime/weights/upload.js"
import type { Arguments } from "../arguments.js"
import { familyFile, narrowedTypes } from "../artifact.js"
import { keptArtifact } from "../cache.js"
import { chooseDevice, deviceForArtifact, deviceNames, precisionFor } from "../device.js"
import type { LoadedModel } from "../node.js"
import { say } from "../output.js"
import { readObject, weightsIn } from "../subject.js"
import { tunedFor } from "../tuned.js"
import { randomPlanes } from "./random-formats.js"

/** @throws WeftError `cli/file`, `model/family`, `device/…`, `webgpu/…`, and what compiling and loading throw */
export async function openRandom(file: string, values: Arguments): Promise<LoadedModel> {
  const started = performance.now()
  const config = await readObject(file)
  const given = values["model-file"]
  const modelFile = given === undefined ? familyFile({ config, folder: file }) : resolve(given)
  const { threads, accesses, "experimental-gpu": experimentalGpu } = values
  const name = deviceNames.find((known) => known === values.device) ?? "auto"
  let chosen = await chooseDevice(name, threads, accesses ?? "proven", experimentalGpu)
  if (chosen.warning !== undefined) say(`weft: ${chosen.warning}`)
  try {
    const { device: first, adapter } = chosen
    const target = first.kind
    const precision = values.precision ?? precisionFor(first)
    const tuned = await tunedFor(first, values.tuned)
    const { context } = values
    // As `load` takes matrices of bf16.
    const narrows = precision === "fast" && adapter?.matrices !== undefined
    const cache = values["no-cache"] === true ? false : undefined
    const stored = values.weights?.name
    const parts = [configOf(config), "random weights", stored, target, adapter, precision, context, tuned]
    const { artifact, cached } = await keptArtifact(
      { cache, label: `random-${target}`, modelFile, parts },
      async () => {
        const { compileFile } = await import("../../compiler/internal.js")
        return compileFile(modelFile, config, target, {
          tensors: (expected, names) => {
            const types = weightsIn(values.weights)(expected, names)
            return narrows ? narrowedTypes(types, expected) : types
          },
          context,
          adapter,
          precision,
          tuned,
        })
      },
    )
    chosen = await deviceForArtifact(chosen, artifact, { device: name, threads, accesses, experimentalGpu })
    const { device, reason } = chosen
    const artifactMs = performance.now() - started
    const weights = randomWeights(values.seed ?? 0)
    const model = await load(artifact, { device, weights, onDispose: () => device.dispose() })
    return { ...model, reason, loading: { artifactMs, totalMs: performance.now() - started, cached } }
  } catch (error) {
    chosen.device.dispose()
    throw error
  }
}

/** Elements of a block. A prime, so that rows do not repeat after a few. */
const blockElements = 1_048_573

/**
 * Weights in bf16, or as f16 where the artifact takes it, the same for the same seed: a block for each length of a row, from which each tensor takes its
 * values at a place of its own.
 */
export function randomWeights(seed: number): WeightSource {
  const blocks = new Map<number, Uint8Array>()
  return {
    async read({ tensor, shape, storage, format }: ArtifactWeight, byteOffset, byteLength, into) {
      const stored = format === undefined ? undefined : formatNamed(format)
      if (stored !== undefined) return randomPlanes(stored, shape, seed)(byteOffset, into)
      const row = shape.length > 1 ? shape.at(-1)! : 0
      const block = blocks.get(row) ?? randomBlock(seed, row)
      blocks.set(row, block)
      let from = (2 * hash(tensor) + byteOffset) % block.length
      for (let at = 0; at < byteLength; from = 0) {
        const part = block.subarray(from, from + byteLength - at)
        into.set(part, at)
        at += part.length
      }
      // Rows are alike: one number for each bf16 is right for all of them.
      if (storage === "f16") into.set(narrower(tensor, byteLength / 2)(into, 0))
      return into
    },
  }
}

/** `row` elements are summed with such weights; 0 for weights that are near one. */
function randomBlock(seed: number, row: number): Uint8Array {
  const values = new Float32Array(blockElements)
  const words = new Uint32Array(values.buffer)
  const [mean, most] = row === 0 ? [1, 0.1] : [0, Math.sqrt(3 / row)]
  // Marsaglia's xorshift (2003) with the shifts 13, 17, 5; a state of 0 would stay 0.
  let state = (seed * 2654435761 + row * 40503 + 1) >>> 0 || 1
  for (let i = 0; i < blockElements; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    values[i] = mean + most * ((state >>> 0) / 2 ** 31 - 1)
  }
  const halves = new Uint16Array(blockElements)
  for (let i = 0; i < blockElements; i++) halves[i] = (words[i]! + 0x8000) >>> 16
  return new Uint8Array(halves.buffer)
}

/** FNV-1a of the name's characters. */
function hash(name: string): number {
  let found = 2166136261
  for (const c of name) found = Math.imul(found ^ c.codePointAt(0)!, 16777619) >>> 0
  return found
}
