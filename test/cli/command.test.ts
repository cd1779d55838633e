/** The command line as it is run: what goes to which stream, and with which exit code. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Artifact } from "../../runtime/artifact.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { openFile, openFolder } from "../../runtime/weights/file-source.js"
import { readHeader } from "../../runtime/weights/safetensors.js"
import { cases } from "../generate/model.js"
import { goldenFolder, loadGolden, normalisedError, root } from "../support/goldens.js"
import { weft, weftHere, weftInTerminal } from "./run.js"

const greedy = ["--device", "wasm", "--threads", "1", "--temperature", "0", "--max-tokens", "8"]
const [{ prompt, prompt_ids, greedy: tokens }] = cases as [(typeof cases)[number]]

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weft-command-"))
  // Compiles the shipped checkpoint, which processes find in the cache.
  expect(await weftHere([prompt, ...greedy])).toMatchObject({ code: 0 })
})
afterAll(() => rm(folder, { recursive: true }))

describe("generate", () => {
  test("the text alone is on standard output, one line about the device on the other", async () => {
    const { code, stdout, stderr } = await weft([prompt, ...greedy])
    expect(code).toBe(0)
    expect(stdout).toBe(" had a wife and a wife, and\n")
    expect(stderr).toBe("weft: WebAssembly, 1 thread (as asked)\n")
  })

  test("the first word selects the command, -- ends the search for one", async () => {
    const named = await weftHere(["generate", prompt, ...greedy])
    const escaped = await weftHere([...greedy, "--", "bench"])
    expect(named.stdout).toBe(" had a wife and a wife, and\n")
    expect(escaped).toMatchObject({ code: 0 })
    expect(escaped.stdout.length).toBeGreaterThan(5)
  })

  test("--json is one object, from ids as from text", async () => {
    for (const from of [[prompt], ["--tokens", prompt_ids.join(",")]]) {
      const { stdout } = await weftHere([...from, ...greedy, "--json"])
      expect(stdout.trimEnd()).not.toContain("\n")
      const result = JSON.parse(stdout)
      expect(result).toMatchObject({
        text: " had a wife and a wife, and",
        tokens: tokens.slice(0, 8),
        finishReason: "length",
        usage: { promptTokens: prompt_ids.length, cachedTokens: 0, completionTokens: 8 },
        device: "wasm",
      })
      expect(Object.keys(result.timings)).toEqual(
        expect.arrayContaining(["firstTokenMs", "prefillMs", "decodeMs", "tokensPerSecond", "pipelines", "commands"]),
      )
    }
  })

  test("a seed tells the same story again; --stop may be repeated", async () => {
    const args = ["--device", "wasm", "--seed", "7", "--max-tokens", "30"]
    const [a, b] = [await weftHere(args), await weftHere(args)]
    expect(a.stdout).toBe(b.stdout)
    const stopped = await weftHere([prompt, ...greedy, "--stop", "zzz", "--stop", " and a"])
    expect(stopped.stdout).toBe(" had a wife\n")
  })

  test("in a terminal the story stands behind its beginning, whether that was text or ids", async () => {
    const ids = ["--tokens", prompt_ids.join(",")]
    for (const { code, stdout } of [
      await weftInTerminal([prompt, ...greedy]),
      await weftHere([...ids, ...greedy], { terminal: true }),
    ]) {
      expect(code).toBe(0)
      expect(stdout).toContain(`${prompt} had a wife and a wife, and`)
    }
  })

  test("what would steer a terminal is spelled out there", async () => {
    const { stdout } = await weftHere(["\u001b[31mOnce", ...greedy], { terminal: true })
    expect(stdout).toContain("\\u001b[31mOnce")
    expect(stdout).not.toContain("\u001b[31m")
  })

  test("an interrupt prints what is there and ends with 130", async () => {
    const { code, stdout } = await weft(
      [prompt, "--device", "wasm", "--threads", "1", "--temperature", "0", "--ignore-eos", "--max-tokens", "1000"],
      (child) => child.stdout!.once("data", () => child.kill("SIGINT")),
    )
    expect(code).toBe(130)
    expect(stdout.startsWith(" had a")).toBe(true)
    expect(stdout.endsWith("\n")).toBe(true)
  })

  test("a reader that goes away ends it quietly", async () => {
    const args = [
      prompt,
      "--device",
      "wasm",
      "--threads",
      "1",
      "--temperature",
      "0",
      "--ignore-eos",
      "--max-tokens",
      "1000",
    ]
    const { code, stderr } = await weft(args, (child) => child.stdout!.once("data", () => child.stdout!.destroy()))
    expect(code).toBe(0)
    expect(stderr).toBe("weft: WebAssembly, 1 thread (as asked)\n")
  })
})

test("a mistake ends the process with its code", async () => {
  const [wrong, refused] = await Promise.all([weft(["--seed"]), weft(["--model", "nowhere"])])
  expect(wrong).toMatchObject({ code: 2, stdout: "", stderr: expect.stringMatching(/argument missing/) })
  expect(refused).toMatchObject({ code: 1, stdout: "" })
})

describe("wrong arguments: one line, exit code 2, nothing on standard output", () => {
  test.each([
    [["--temprature", "1"], "Unknown option '--temprature'; did you mean '--temperature'?"],
    [["--colour", "1"], "Unknown option '--colour'"],
    [["--device", "webgpu", "--threads", "2"], "--threads goes with --device wasm"],
    [["--device", "wasm", "--experimental-gpu"], "--experimental-gpu goes with --device webgpu"],
    [["--max-tokens", "many"], '--max-tokens takes a whole number, not "many"'],
    [["--temperature", "200"], "--temperature is 200; it is a number from 0 to 100"],
    [["--top-p=-1"], "--top-p is -1; it is a number from 0 to 1"],
    [["--device", "metal"], '--device takes auto, webgpu, wasm, cuda, not "metal"'],
    [["--tokens", "5,x"], '--tokens takes token ids with commas between them, such as 5,17,3, not "5,x"'],
    [["--temperature", "-1"], "--temperature is followed by a flag; write --temperature=-1 for a value with a dash"],
    [["--seed"], "Option '--seed <value>' argument missing"],
    [["one", "two"], "one prompt is expected, not 2; put it in quotes"],
    [["one", "--tokens", "5"], "give a prompt or --tokens, not both"],
    [["benhc"], "there is no command 'benhc'; did you mean 'bench'? A prompt follows --: weft -- benhc"],
    [
      ["Generate", "x"],
      "there is no command 'Generate'; did you mean 'generate'? A prompt follows --: weft -- Generate",
    ],
    [["--device", "wasm", "bench"], "the command comes first: weft bench …; a prompt follows --: weft -- bench"],
    [
      ["models/qwen3.ts"],
      "models/qwen3.ts is a file: weft compile models/qwen3.ts or weft check models/qwen3.ts; a prompt follows --: weft -- models/qwen3.ts",
    ],
    [["models/tales"], "models/tales is a checkpoint: --model models/tales; a prompt follows --: weft -- models/tales"],
    [["check"], "a file is missing, such as weft check models/qwen3.ts"],
    [["logits"], "--tokens is missing, such as --tokens 5,17,3"],
    [["logits", "--tokens", "5"], "--out is missing, such as --out logits.safetensors"],
    [["bench", "--repetitions", "2"], "--repetitions takes a whole number from 5 to 1000"],
    [["compile", "models/qwen3.ts"], "--out is missing, such as --out artifact.json"],
    [["compile", "a.ts", "b.ts", "--out", "x"], "one model file is expected, not 2"],
    [["compile", "--target", "metal", "--out", "x"], '--target takes webgpu, wasm, cuda, not "metal"'],
    [["explain", "models/qwen3.ts"], "--out or --json is missing, such as --out page.html"],
    [["explain", "--json"], "a model file is missing, such as weft explain models/qwen3.ts --config config.json"],
    [["explain", "--config", "a", "--checkpoint", "b", "--json"], "give --config or --checkpoint, not both"],
    [["explain", "--seq", "0", "--json"], "--seq takes a whole number from 1 on"],
    [["explain", "--device", "abacus", "--json"], /^--device takes nvidia-h200, .*, not "abacus"/],
  ])("%j", async (args, message) => {
    const { code, stdout, stderr } = await weftHere(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    const told = /^weft: (.*); see weft --help\n$/.exec(stderr)?.[1]
    if (typeof message === "string") expect(told).toBe(message)
    else expect(told).toMatch(message)
  })
})

describe("refusals: message and hint, exit code 1, no stack", () => {
  test.each([
    [["--model", "nowhere"], /^weft: there is no directory "nowhere"\nhint: [^\n]*\n$/],
    [["--tokens", "5000", ...greedy], /5000 is not a token: ids are whole numbers from 0 to 4095\n$/],
    [["", ...greedy], /the prompt is empty\nhint: give at least one token\n$/],
    [["hello", "--model", goldenFolder("qwen3-moe"), ...greedy], /no tokenizer, so it cannot read text\nhint: .*\n$/],
    [["--model-file", "none.ts", ...greedy], /none\.ts/],
    [["explain", "models/qwen3.ts", "--config", "none.json", "--json"], /^weft: "none.json" cannot be read: /],
    [["explain", "models/qwen3.ts", "--config", "README.md", "--json"], /^weft: "README.md" is not JSON: [^\n]*\n$/],
    [
      ["explain", "models/qwen3.ts", "--config", "package.json", "--json"],
      /^weft: the config asks for what models\/qwen3\.ts does not compute\n {2}vocab_size: /,
    ],
    [
      ["explain", "examples/stencil.ts", "--config", "package.json", "--json"],
      /^weft: examples\/stencil\.ts is a program, which has no config\nhint: /,
    ],
    [
      ["explain", "models/qwen3.ts", "--json"],
      /^weft: models\/qwen3\.ts is a model and needs a config\nhint: give --config/,
    ],
    [["explain", "none.ts", "--json"], /none\.ts/],
    [["explain", "--checkpoint", "models/tales", "--tuned", "none.json", "--json"], /there is no file none\.json/],
  ])("%j", async (args, message) => {
    const { code, stdout, stderr } = await weftHere(args)
    expect(code).toBe(1)
    expect(stdout).toBe("")
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/\n\s+at /)
  })
})

test("what a model's config may be is told as its schema says it", async () => {
  const config = join(folder, "other.json")
  const published = JSON.parse(await readFile("test/configs/qwen3-0.6b.json", "utf8"))
  await writeFile(config, JSON.stringify({ ...published, model_type: "other" }))
  const { stderr } = await weftHere(["explain", "models/qwen3.ts", "--config", config, "--json"])
  expect(stderr).toContain('model_type: Invalid option: expected one of "qwen3"|"qwen3_moe"\n')
})

test("logits writes the golden's logits to a safetensors file", async () => {
  const golden = await loadGolden("qwen3-moe")
  const out = join(folder, "logits.safetensors")
  const ids = golden.ids[0]!
  const args = ["logits", "--model", golden.folder, "--device", "wasm", "--tokens", ids.join(","), "--out", out]
  expect(await weftHere(args)).toMatchObject({ code: 0, stdout: "" })
  const source = (await openFile(await openFolder(folder), "logits.safetensors"))!
  const { tensors } = await readHeader(source)
  await source.close()
  expect([...tensors.keys()]).toEqual(["logits"])
  const { dtype, shape, begin, end } = tensors.get("logits")!
  expect([dtype, shape]).toEqual(["F32", [ids.length, golden.vocabulary]])
  const bytes = (await readFile(out)).subarray(begin, end)
  expect(normalisedError(new Float32Array(new Uint8Array(bytes).buffer), golden.logits[0]!)).toBeLessThan(1e-8)
  await golden.checkpoint.close()
})

describe("compile and explain", () => {
  const tales = ["--checkpoint", "models/tales"]

  test("compile writes an artifact that is ready to be loaded", async () => {
    const out = join(folder, "artifact.json")
    const { code, stdout, stderr } = await weftHere(["compile", ...tales, "--target", "wasm", "--out", out])
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" })
    expect(stderr).toMatch(/artifact\.json: \d+ kernels for wasm\n$/)
    const artifact: Artifact = JSON.parse(await readFile(out, "utf8"))
    checkArtifact(artifact)
    expect(artifact).toMatchObject({ target: "wasm", model: { family: "qwen3_moe", vocabulary: 4096 } })
  })

  test("explain writes a page of a model, with measured times; --json prints the facts alone", async () => {
    const [page, times] = [join(folder, "page.html"), join(folder, "times.json")]
    await writeFile(times, JSON.stringify({ k0_none: 3 }))
    const model = ["explain", "models/qwen3.ts", ...tales, "--seq", "64", "--past", "32", "--device", "apple-m2"]
    const { code, stdout } = await weftHere([...model, "--measured", times, "--out", page, "--json"])
    expect(code).toBe(0)
    expect(stdout.trimEnd()).not.toContain("\n")
    const facts = JSON.parse(stdout)
    expect(Object.keys(facts)).toEqual([
      "kernelsPerLayer",
      "distinctKernels",
      "step",
      "scratchBytes",
      "weightBytes",
      "compileSeconds",
      "peakRssBytes",
      "entries",
      "kernels",
    ])
    expect(Object.keys(facts.step)).toEqual([
      "bytes",
      "floorBytes",
      "operations",
      "unfusedOperations",
      "unfusedProducts",
    ])
    expect(facts.kernelsPerLayer).toEqual({ dense: null, moe: expect.any(Number) })
    expect(facts.step.bytes).toBeGreaterThanOrEqual(facts.step.floorBytes)
    expect(Object.keys(facts.entries).sort()).toEqual(["draw", "greedy", "logits", "prefill", "sample", "step"])
    expect(facts.entries.step).toMatchObject(facts.step)
    for (const [name, entry] of Object.entries<Record<string, number>>(facts.entries)) {
      const own = facts.kernels.filter((k: { entry: string }) => k.entry === name)
      expect(own.reduce((n: number, k: { launches: number }) => n + k.launches, 0)).toBe(entry.launches)
      expect(entry.estimatedMicroseconds).toBeGreaterThan(entry.floorMicroseconds!)
    }
    const text = await readFile(page, "utf8")
    for (const part of ["<title>models/qwen3.ts", "Apple M2", "A prompt of 64 tokens", "Measured"])
      expect(text).toContain(part)
  })

  test("explain without --json prints nothing; a program has no steps", async () => {
    const page = join(folder, "program.html")
    const program = ["explain", "examples/mandelbrot.ts", "--target", "wasm"]
    expect(await weftHere([...program, "--out", page])).toMatchObject({ code: 0, stdout: "" })
    expect(await readFile(page, "utf8")).toContain("<title>examples/mandelbrot.ts")
    expect(await weftHere([...program, "--json"])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^[^\n]*"step":null,"scratchBytes":null[^\n]*\n$/),
    })
  })

  test("explain compiles for the GPU that it explains for", async () => {
    const page = join(folder, "block.html")
    for (const [device, own] of [
      ["nvidia-h100", true],
      ["nvidia-rtx-4090", false],
    ] as const) {
      const target = ["--target", "cuda", "--precision", "fast", "--device", device]
      expect(await weftHere(["explain", "examples/block.ts", ...target, "--out", page])).toMatchObject({ code: 0 })
      expect((await readFile(page, "utf8")).includes("multiply_wgmma")).toBe(own)
    }
  })

  test("explain refuses times that are none", async () => {
    const times = join(folder, "times.json")
    await writeFile(times, JSON.stringify({ k0_t1: "fast" }))
    const { code, stderr } = await weftHere(["explain", ...tales, "--json", "--measured", times])
    expect(code).toBe(1)
    expect(stderr).toMatch(/the time of 'k0_t1' is no number of microseconds\nhint: /)
  })
})

test("--help goes to standard output", async () => {
  expect(await weftHere(["--help"])).toMatchObject({
    code: 0,
    stderr: "",
    stdout: expect.stringContaining("--top-k K"),
  })
})

test("--version is the package's", async () => {
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"))
  expect(await weftHere(["--version"])).toEqual({ code: 0, stderr: "", stdout: `weft ${version}\n` })
})
