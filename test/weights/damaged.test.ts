/**
 * Weights with damaged bytes: what is computed of them is what transformers computes (damaged.py made damaged.json), and where that is no
 * number the generation ends in an error. There is no third way.
 */
import { readFileSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { load } from "../../cli/node.js"
import type { Artifact } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { load as loadArtifact } from "../../runtime/generate/load.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { artifactWeights, weightReader } from "../../runtime/weights/reader.js"
import { refusal } from "../generate/model.js"
import { runs } from "../laws/settings.js"
import { type Golden, loadGolden, normalisedError } from "../support/goldens.js"

interface Case {
  readonly golden: string
  readonly put: readonly (readonly [tensor: string, byte: number, hex: string])[]
  readonly ids: readonly number[]
  readonly logits: readonly number[] | null
}
const cases: readonly Case[] = JSON.parse(readFileSync(new URL("./damaged.json", import.meta.url), "utf8"))

/** A checkpoint whose tensors have other bytes in some places. */
const damaged = ({ read }: Checkpoint, put: Case["put"]): Pick<Checkpoint, "read"> => ({
  async read(tensor, offset = 0, length = tensor.byteLength - offset) {
    const bytes = (await read(tensor, offset, length)).slice()
    for (const [name, at, hex] of put)
      if (name === tensor.name)
        for (const [i, byte] of Buffer.from(hex, "hex").entries())
          if (at + i >= offset && at + i < offset + length) bytes[at + i - offset] = byte
    return bytes
  },
})

describe.each(["qwen3-tied", "qwen3-moe"])("%s", (name) => {
  let golden: Golden
  let artifact: Artifact
  let device: Device
  beforeAll(async () => {
    golden = await loadGolden(name)
    using whole = await load(golden.folder, { device: "wasm", threads: 1 })
    artifact = whole.session.artifact
    device = await createWasmDevice({ threads: 1 })
  })
  afterAll(async () => {
    device.dispose()
    await golden.checkpoint.close()
  })

  const own = cases.filter((c) => c.golden === name)
  test.each(own.slice(0, runs(12)).map((c, i) => [i, c] as const))("case %i", async (_, { put, ids, logits }) => {
    const tensors = artifactWeights(golden.checkpoint, artifact)
    const weights = { read: weightReader(damaged(golden.checkpoint, put), tensors) }
    const model = await loadArtifact(artifact, { device, weights })
    try {
      const { data, shape } = await model.logits(ids)
      const last = data.slice((shape[0] - 1) * shape[1])
      const drawn = [{ temperature: 0 }, { temperature: 1, seed: 3 }].map((how) => ({
        ...how,
        maxTokens: 1,
        ignoreEos: true,
      }))
      if (logits === null) {
        expect([...last].every(Number.isFinite)).toBe(false)
        for (const how of drawn) expect(await refusal(model.generate(ids, how))).toContain("generate/non-finite")
        return
      }
      // Where squares overflow, all of a row is zero, there and here.
      if (logits.every((logit) => logit === 0)) expect([...last].every((logit) => logit === 0)).toBe(true)
      else expect(normalisedError(last, logits)).toBeLessThan(1e-8)
      const greedy = await model.generate(ids, drawn[0])
      expect(last[greedy.tokens[0]!]).toBe(Math.max(...last))
      expect((await model.generate(ids, drawn[1])).tokens).toHaveLength(1)
    } finally {
      model.dispose()
    }
  })

  test("half of the cases are no numbers", () => {
    const share = own.filter(({ logits }) => logits === null).length / own.length
    expect(share).toBeGreaterThan(0.25)
    expect(share).toBeLessThan(0.75)
  })
})
