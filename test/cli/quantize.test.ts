/** weft quantize as it is run: the file, what is told of it, and that the model is still itself. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import { cases } from "../generate/model.js"
import { goldenFolder, root } from "../support/goldens.js"
import { weft, weftHere } from "./run.js"

const folder = mkdtempSync(join(tmpdir(), "weft-quantize-"))
afterAll(() => rmSync(folder, { recursive: true }))
const tales = join(root, "models/tales")
const wasm = ["--device", "wasm", "--threads", "1"]

test("tales in eight bits: half the bytes, next to no divergence, and the story goes on as before", async () => {
  const out = join(folder, "tales.gguf")
  const { code, stdout } = await weftHere([
    "quantize",
    tales,
    "--to",
    "q8_0",
    "--out",
    out,
    "--max-tokens",
    "120",
    "--json",
    ...wasm,
  ])
  expect(code).toBe(0)
  const report = JSON.parse(stdout)
  expect(report).toMatchObject({ from: "tales", file: out, to: "q8_0", bytes: statSync(out).size, fallbacks: [] })
  expect(report.bytes / report.bytesBefore).toBeLessThan(0.54)
  expect(report.bitsPerWeight).toBeCloseTo(8.53, 2)
  expect(report.tensors.length).toBe(98)
  const { divergence } = report
  expect(divergence).toMatchObject({ tokens: 120, text: "built in" })
  expect(divergence.meanKl).toBeGreaterThan(1e-5)
  expect(divergence.meanKl).toBeLessThan(2e-3)
  expect(divergence.agreement).toBeGreaterThan(0.95)
  const { prompt, greedy } = cases.find(({ prompt }) => prompt.startsWith('"Open the door'))!
  const story = await weftHere([prompt, "--model", out, "--temperature", "0", "--max-tokens", "32", "--json", ...wasm])
  expect(JSON.parse(story.stdout).tokens).toEqual(greedy.slice(0, 32))
  // What is drawn where nothing else is said is what the folder says.
  const drawn = await weftHere([prompt, "--model", out, "--seed", "3", "--max-tokens", "4", "--json", ...wasm])
  expect(JSON.parse(drawn.stdout)).toMatchObject({ seed: 3 })
})

test("a model without a tokenizer is compared on ids; a table for people names the types that did not fit", async () => {
  const out = join(folder, "golden.gguf")
  const from = goldenFolder("qwen3-tied")
  const { code, stdout } = await weftHere([
    "quantize",
    from,
    "--to",
    "mixed",
    "--out",
    out,
    "--max-tokens",
    "40",
    ...wasm,
  ])
  expect(code).toBe(0)
  expect(stdout).toMatch(/golden\.gguf: 0\.\d MB after 0\.\d MB, \d+\.\d\d bits a weight/)
  expect(stdout).toMatch(/divergence on 40 tokens \(text: random ids; wasm: WebAssembly/)
  expect(stdout).toContain("token_embd.weight: rows of 56, BF16 and not q6_k")
  expect(stdout).toContain("blk.0.ffn_down.weight: rows of 96, q8_0 and not q4_k")
  expect(stdout).toMatch(/blk\.\d\.\w+\.weight +q8_0 +0\.005/)
  expect(existsSync(out)).toBe(true)
})

describe("refused before anything is written", () => {
  const out = join(folder, "none", "a.gguf")
  test.each([
    ["one checkpoint is expected", ["--to", "q8_0", "--out", out]],
    ["one checkpoint is expected", [tales, tales, "--to", "q8_0", "--out", out]],
    ["--to is missing: q4_k, q6_k, q8_0, mixed", [tales, "--out", out]],
    ["--to takes q4_k, q6_k, q8_0, mixed, not", [tales, "--to", "q2_k", "--out", out]],
    ["--out is missing", [tales, "--to", "q8_0"]],
    ["ends in .gguf", [tales, "--to", "q8_0", "--out", join(folder, "a.bin")]],
    ["--max-tokens takes 1 or more", [tales, "--to", "q8_0", "--out", out, "--max-tokens", "0"]],
  ])("%s", async (told, args) => {
    const { code, stderr } = await weftHere(["quantize", ...args])
    expect(stderr).toContain(told)
    expect(code).toBe(2)
    expect(existsSync(join(folder, "none"))).toBe(false)
  })

  test("a text that cannot be read, is empty, or is none", async () => {
    const [empty, none] = [join(folder, "empty.txt"), join(folder, "none.txt")]
    writeFileSync(empty, "")
    writeFileSync(none, new Uint8Array([0xff, 0xfe]))
    for (const [path, told] of [
      [join(folder, "missing.txt"), "cannot be read"],
      [empty, "is empty"],
      [none, "is no text in UTF-8"],
    ] as const) {
      const { code, stderr } = await weftHere(["quantize", tales, "--to", "q8_0", "--out", out, "--text", path])
      expect([code, stderr]).toEqual([1, expect.stringContaining(told)])
    }
    expect(existsSync(join(folder, "none"))).toBe(false)
  })
})

test("the same bytes in as many threads as there are", async () => {
  const several = join(folder, "several.gguf")
  const { code, stdout } = await weft(["quantize", tales, "--to", "q8_0", "--no-compare", "--json", "--out", several])
  expect(code).toBe(0)
  // The first test, which runs from the sources, has one.
  expect(readFileSync(several).equals(readFileSync(join(folder, "tales.gguf")))).toBe(true)
  expect(JSON.parse(stdout).tensors.length).toBe(98)
})

test("a file is not written over while it is read", async () => {
  const path = join(folder, "same.gguf")
  writeFileSync(path, "something")
  const { code, stderr } = await weftHere(["quantize", path, "--to", "q8_0", "--out", path])
  expect([code, stderr]).toEqual([2, expect.stringContaining("--out names the file that is read")])
  expect(readFileSync(path, "utf8")).toBe("something")
})

test("an interrupt leaves nothing half", async () => {
  const place = mkdtempSync(join(folder, "interrupted-"))
  const others = process.listeners("SIGINT")
  const timer = setInterval(() => {
    if (readdirSync(place).length === 0) return
    clearInterval(timer)
    for (const listener of process.listeners("SIGINT")) if (!others.includes(listener)) listener("SIGINT")
  }, 1)
  const out = join(place, "tales.gguf")
  const { code } = await weftHere(["quantize", tales, "--to", "q4_k", "--out", out, "--no-compare"])
  clearInterval(timer)
  expect(code).toBe(130)
  expect(readdirSync(place)).toEqual([])
  expect(process.listeners("SIGINT")).toEqual(others)
})
