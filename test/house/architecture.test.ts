/**
 * The texts in ARCHITECTURE.md are those that the compiler makes now: `npm run architecture` writes them anew.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { compileFile } from "../../compiler/compile-file.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import { printTensor } from "../../compiler/ir/print/tensor.js"
import { root } from "../support/goldens.js"

const file = join(root, "ARCHITECTURE.md")

/** What each station makes of test/house/product.ts, for WebGPU on any adapter. */
async function stations(): Promise<ReadonlyMap<string, string>> {
  const product = join(root, "test/house/product.ts")
  const { compilation } = await compileFile(product, {}, "webgpu", { verify: true })
  return compilation.within(() => {
    const [entry] = compilation.entries
    const [made] = compilation.kernels
    const { artifact } = compilation
    const launches = artifact.entries[entry!.name]!.launches.map(
      ({ kernel, buffers, groups }) =>
        `${artifact.kernels[kernel]!.name}(${buffers.map((b) => artifact.buffers[b]!.name).join(", ")})   ${printed(groups)} groups`,
    )
    return new Map([
      ["file", readFileSync(product, "utf8").trim()],
      ["trace", printTensor(entry!.programs[0]!.results)],
      ["kernel", printKernel(made!.kernel)],
      ["schedule", JSON.stringify(made!.schedule)],
      ["tile", printLoop(made!.tiled)],
      ["loop", changed(printLoop(made!.tiled), printLoop(made!.loops))],
      ["emit", artifact.kernels[0]!.source.trim()],
      ["plan", launches.join("\n")],
    ])
  })
}

const printed = (groups: unknown): string => (typeof groups === "number" ? String(groups) : JSON.stringify(groups))

/** The lines of `after` that `before` does not have. */
const changed = (before: string, after: string): string => {
  const known = new Set(before.split("\n"))
  const lines = after.split("\n").filter((line) => !known.has(line))
  return lines.map((line) => line.trim()).join("\n")
}

/** The page with the text of each station between the fences that name it. */
const filled = (page: string, texts: ReadonlyMap<string, string>): string =>
  page.replace(
    /(```\w+ (\w+)\n)[\s\S]*?(\n```)/g,
    (_, head: string, name: string, tail: string) => `${head}${texts.get(name)!}${tail}`,
  )

test("the texts of each station are what the compiler makes", async () => {
  const page = readFileSync(file, "utf8")
  const texts = await stations()
  const named = [...page.matchAll(/^```\w+ (\w+)$/gm)].map(([, name]) => name)
  expect(named).toEqual([...texts.keys()])
  const now = filled(page, texts)
  if (process.env.WEFT_WRITE === "1") writeFileSync(file, now)
  else expect(page).toBe(now)
  expect(now.split("\n").length).toBeLessThanOrEqual(121)
})
