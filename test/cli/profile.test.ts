/** What bench tells beside its rows: times of single kernels, and members of stacks that tokens pick. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { chosenMembers, chosenText } from "../../cli/bench/chosen.js"
import { launchBytes } from "../../cli/bench/launch-bytes.js"
import { profileStep, profileText, tabulate } from "../../cli/bench/profile.js"
import { openRandom } from "../../cli/bench/random-model.js"
import type { LoadedModel } from "../../cli/node.js"
import type { Device } from "../../runtime/devices/device.js"
import { refusal } from "../generate/model.js"

const folder = mkdtempSync(join(tmpdir(), "weft-profile-"))
const config = join(folder, "members.json")
const values = { config, device: "wasm", threads: 1, "no-cache": true } as const
const members = {
  model_type: "qwen3_moe",
  ...{ vocab_size: 256, hidden_size: 64, moe_intermediate_size: 32, num_experts: 64, num_experts_per_tok: 8 },
  ...{ head_dim: 32, num_attention_heads: 2, num_key_value_heads: 1, num_hidden_layers: 2 },
  ...{ max_position_embeddings: 80, rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: true },
  ...{ norm_topk_prob: true, decoder_sparse_step: 1, mlp_only_layers: [], intermediate_size: 128 },
}

let model: LoadedModel
beforeAll(async () => {
  writeFileSync(config, JSON.stringify(members))
  model = await openRandom(config, values)
})
afterAll(() => {
  model.dispose()
  rmSync(folder, { recursive: true })
})

const logits = async (): Promise<Uint8Array> => (await model.session.read("states.logits", 4 * 256)).slice()

describe("members that data picks", () => {
  test("are read from what passes between kernels: so many different ones for each token and layer", async () => {
    const one = (await chosenMembers(model.session, 1))!
    expect(one).toMatchObject({
      places: 2,
      members: 64,
      picked: 8,
      tokens: 1,
      distinct: 8,
      leastDistinct: 8,
      evenDistinct: 8,
    })
    const all = (await chosenMembers(model.session))!
    expect(all).toMatchObject({ tokens: 64, members: 64, picked: 8 })
    expect(all.distinct).toBeGreaterThan(8)
    expect(all.leastDistinct).toBeLessThanOrEqual(all.distinct)
    expect(all.distinct).toBeLessThanOrEqual(64)
    expect(await chosenMembers(model.session)).toEqual(all)
  })

  test("even choices are counted as such, others are told", () => {
    const even = {
      places: 48,
      members: 128,
      picked: 8,
      tokens: 64,
      distinct: 125.93,
      leastDistinct: 121,
      evenDistinct: 125.94,
    }
    expect(chosenText(even)).toBe(
      "48 choices of 8 among 128, 64 tokens: 125.9 distinct on the average (even choices: 125.9), 121 at least",
    )
    expect(chosenText({ ...even, distinct: 60 })).toMatch(/far from even/)
  })

  test("looking changes nothing of what an entry computes", async () => {
    const { session } = model
    const token = new Uint8Array(Int32Array.of(7).buffer)
    session.begin()
    session.write("states.token", token)
    session.run(["step"], { past: 0, seq: 1 })
    const wanted = await logits()
    session.begin()
    session.write("states.token", token)
    const looks = [0, 3].map((launch) => ({ launch, binding: 0 }))
    expect(await session.watch("step", looks)({ past: 0, seq: 1 })).toHaveLength(2)
    expect(await logits()).toEqual(wanted)
    await expect(session.watch("step", [])({ past: 81, seq: 1 })).rejects.toThrow("'past' is 81")
  })
})

describe("a profile", () => {
  test("needs a clock", async () => {
    expect(await refusal(profileStep(model.session, { past: 0, bytes: new Map(), ceiling: 1 }))).toMatch(
      /^cli\/bench: WebAssembly, 1 thread has no clock for single launches/,
    )
  })

  test("puts launches of one kernel together, with their bytes and the model's line, and sums to the step", async () => {
    const { artifact } = model.session
    const entries = ["step", "greedy"]
    const launches = entries.flatMap((entry) => artifact.entries[entry]!.launches)
    const device: Device = {
      ...model.session.device,
      profile: async () => ({ commands: launches.map((_, i) => 1 + i), whole: 100 }),
    }
    const session = { ...model.session, device, profile: () => device.profile!([], new Int32Array(), 1) }
    const bytes = await launchBytes(model.session, values, "", { entries, past: 64 })
    expect([...bytes.keys()].sort()).toEqual([...new Set(launches.map((l) => l.kernel))].sort())
    const profile = await profileStep(session, { past: 64, bytes, ceiling: 1e9 })
    const sum = (launches.length * (launches.length + 1)) / 2
    expect(profile).toMatchObject({ past: 64, entries, launchesMicroseconds: sum, stepMicroseconds: 100 })
    expect(profile.kernels.reduce((n, k) => n + k.launches, 0)).toBe(launches.length)
    expect(profile.kernels.reduce((n, k) => n + k.microseconds, 0)).toBe(sum)
    const times = profile.kernels.map((k) => k.microseconds)
    expect(times).toEqual([...times].sort((a, b) => b - a))
    for (const k of profile.kernels) {
      expect(k.line).toMatch(/^[\w-]+\.ts:\d+$/)
      expect(k.shareOfReadCeiling).toBeCloseTo((k.bytes! * k.launches) / (k.microseconds / 1e6) / 1e9)
    }
    const text = profileText(profile).split("\n")
    expect(text).toHaveLength(profile.kernels.length + 5)
    expect(text.slice(-4)).toEqual([
      expect.stringMatching(new RegExp(`^together +${launches.length} launches +${sum}\\.0 µs$`)),
      expect.stringMatching(new RegExp(`^overlap +${100 - sum}\\.0 µs$`)),
      expect.stringMatching(/^step +100\.0 µs$/),
      "",
    ])
  })

  test("says what lies between launches where that is more than what overlaps", () => {
    const { artifact } = model.session
    const commands = artifact.entries.step!.launches.map(() => 1)
    const table = tabulate(artifact, ["step"], { commands, whole: commands.length + 10 }, new Map(), 1)
    expect(table.kernels[0]).not.toHaveProperty("bytes")
    expect(profileText({ past: 0, entries: ["step"], ...table })).toMatch(/\nbetween launches +10\.0 µs\n/)
  })
})
