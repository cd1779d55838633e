/** Entries for few rows and for many: which of them runs, what is compiled for it and when, and that memory is there once. */
import { beforeAll, describe, expect, test } from "vitest"
import { type CompileOptions, compileProgram } from "../../compiler/compile.js"
import type { Artifact } from "../../runtime/artifact.js"
import type { Command, Device } from "../../runtime/devices/device.js"
import { load } from "../../runtime/generate/load.js"
import { memoryOf } from "../../runtime/memory.js"
import { createSession } from "../../runtime/session.js"
import { qwen3 } from "../support/driver.js"

const config = {
  model_type: "qwen3",
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 16,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: true,
}

const options: CompileOptions = { target: "cuda", precision: "fast", storage: () => "bf16" }

async function compiled(context: number, vocabulary = 64, chunk?: number): Promise<Artifact> {
  const given = { ...config, vocab_size: vocabulary, max_position_embeddings: context }
  const program = (await qwen3()).configure(given)
  const asked = chunk === undefined ? {} : { chunk }
  return compileProgram(program, "qwen3", { ...options, entries: ["prefill", "logits"], ...asked }).artifact
}

/** For how many rows the entries are compiled. */
const bounds = ({ entries, symbols }: Artifact) =>
  Object.entries(entries).map(([name, e]) => [name, e.most?.seq ?? symbols.find((s) => s.name === "seq")!.max])

describe("with matrix units an entry that takes rows is compiled for few, for some and for many", () => {
  test.each([
    ["of a long context", 40_960, 64, undefined, [16, 512, 2048], [16, 512, 2048]],
    ["of a context that is shorter", 300, 64, undefined, [16, 300], [16, 300]],
    ["no more than asked for", 40_960, 64, 100, [16, 100], [16, 100]],
    ["few alone where no more are asked for", 40_960, 64, 7, [7], [7]],
    ["of logits no more than a host reads at once", 40_960, 151_936, undefined, [16, 512, 2048], [16, 512]],
  ])("%s", async (_, context, vocabulary, chunk, prefill, logits) => {
    const artifact = await compiled(context, vocabulary, chunk)
    const named = (entry: string, [largest, ...fewer]: readonly number[]) => [
      [entry, largest],
      ...fewer.map((n) => [`${entry}.${n}`, n]),
    ]
    expect(bounds(artifact)).toEqual([
      ...named("prefill", prefill.toReversed()),
      ...named("logits", logits.toReversed()),
    ])
    expect(artifact.model!.chunk).toBe(prefill.at(-1))
    expect(artifact.kernels.filter((k) => k.proven !== true).map((k) => k.name)).toEqual([])
  })
})

/** A device that computes nothing: what is launched and compiled is written down. */
function counting() {
  const launched: string[] = []
  const compiled: string[][] = []
  const device = {
    kind: "cuda",
    description: "nothing",
    limits: { bufferBytes: 2 ** 40, bindingBytes: 2 ** 40 },
    ahead: 1,
    unchecked: true,
    counters: { pipelines: 0, submits: 0, commands: 0, allocatedBytes: 0 },
    allocate: (bytes: number) => ({ bytes, destroy: () => {} }),
    upload: () => {},
    compile: async ({ kernels }: { kernels: Artifact["kernels"] }) => {
      compiled.push(kernels.map((k) => k.name))
      return kernels.map(({ name }) => ({ name }))
    },
    record: (commands: readonly Command[]) => ({
      commands: commands.length,
      kernels: commands.map((c) => c.kernel.name),
    }),
    submit: (recordings: readonly { kernels: readonly string[] }[], [past, seq]: Int32Array) => {
      for (const { kernels } of recordings) launched.push(`${kernels.join(" ")} ${past} ${seq}`)
    },
    read: async (_: unknown, __: number, bytes: number) => new Uint8Array(bytes),
  } as unknown as Device
  return { device, launched, compiled }
}

const weights = { read: async (_: unknown, __: number, length: number) => new Uint8Array(length) }

describe("of the variants of an entry the one for the fewest rows that holds what there is runs", () => {
  let artifact: Artifact
  beforeAll(async () => {
    const program = (await qwen3()).configure({ ...config, max_position_embeddings: 4000 })
    artifact = compileProgram(program, "qwen3", options).artifact
  })
  /** What an entry launches. */
  const launches = (entry: string) =>
    artifact.entries[entry]!.launches.map(({ kernel }) => artifact.kernels[kernel]!.name)

  test.each([
    [1, [["16", 0, 1]]],
    [2, [["16", 0, 2]]],
    [16, [["16", 0, 16]]],
    [17, [["512", 0, 17]]],
    [512, [["512", 0, 512]]],
    [513, [["", 0, 513]]],
    [2048, [["", 0, 2048]]],
    // Of the rest, too.
    [
      2049,
      [
        ["", 0, 2048],
        ["16", 2048, 1],
      ],
    ],
    [
      3999,
      [
        ["", 0, 2048],
        ["", 2048, 1951],
      ],
    ],
  ] as const)("%i tokens", async (count, pieces) => {
    const { device, launched } = counting()
    const model = await load(artifact, { device, weights })
    const ids = Array.from({ length: count }, (_, i) => i % 64)
    await model.generate(ids, { maxTokens: 1, temperature: 0 })
    const expected = (entry: string) =>
      pieces.map(
        ([variant, past, seq]) =>
          `${launches(variant === "" ? entry : `${entry}.${variant}`).join(" ")} ${past} ${seq}`,
      )
    expect(launched.filter((line) => !line.startsWith(launches("greedy")[0]!))).toEqual(expected("prefill"))
    launched.length = 0
    expect((await model.logits(ids)).shape).toEqual([count, 64])
    expect(launched).toEqual(expected("logits"))
    model.dispose()
  })

  test("kernels of each have something of their own, and those without rows are shared", () => {
    const sets = ["prefill", "prefill.512", "prefill.16"].map((entry) => new Set(launches(entry)))
    for (const [i, own] of sets.entries())
      for (const other of sets.slice(i + 1)) expect([...own].every((name) => other.has(name))).toBe(false)
    const shared = [...new Set(launches("logits.512"))].filter((name) => launches("prefill.512").includes(name))
    expect(shared.length).toBeGreaterThan(5)
  })

  test("none is run with more than it is compiled for", async () => {
    const session = await createSession(artifact, counting().device, weights)
    expect(() => session.run(["prefill.16"], { past: 0, seq: 17 })).toThrow(
      "'seq' is 17, which is not in 0 … 16 of 'prefill.16'",
    )
    expect(() => session.run(["prefill"], { past: 0, seq: 2049 })).toThrow("'seq' is 2049, which is not in 0 … 2048")
    expect(() => session.run(["prefill.16"], { past: 0, seq: 16 })).not.toThrow()
    expect(session.variantsOf(["logits", "greedy"], { seq: 3 })).toEqual(["logits.16", "greedy"])
  })

  test("they are compiled when they are first needed, once; a session by itself has all", async () => {
    const { device, compiled } = counting()
    const model = await load(artifact, { device, weights })
    const rows = new Set(Object.keys(artifact.entries).flatMap((e) => (/^(prefill|logits)/.test(e) ? launches(e) : [])))
    const others = new Set(["step", "greedy", "sample", "draw"].flatMap(launches))
    expect(new Set(compiled.flat())).toEqual(others)
    const added = async (count: number) => {
      compiled.length = 0
      await model.generate(Array(count).fill(1), { maxTokens: 1 })
      return new Set(compiled.flat())
    }
    const wanted = (entry: string) => new Set(launches(entry).filter((name) => !others.has(name)))
    expect(await added(3)).toEqual(wanted("prefill.16"))
    expect(await added(16)).toEqual(new Set())
    expect(await added(100)).toEqual(wanted("prefill.512"))
    expect(await added(7)).toEqual(new Set())
    model.dispose()
    const whole = counting()
    await createSession(artifact, whole.device, weights)
    expect(new Set(whole.compiled.flat())).toEqual(new Set([...rows, ...others]))
  })

  test("what the largest ones need of memory is enough for the others", () => {
    const { "prefill.512": _, "prefill.16": __, "logits.512": ___, "logits.16": ____, ...entries } = artifact.entries
    const [all, largest] = [memoryOf(artifact), memoryOf({ ...artifact, entries })]
    expect(all.scratch).toBeLessThanOrEqual(1.02 * largest.scratch)
    expect({ ...all, scratch: 0, total: 0 }).toEqual({ ...largest, scratch: 0, total: 0 })
  })
})
