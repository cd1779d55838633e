/** The page of `weft explain`, as text: what stands on it, what links to what, and that nothing of a model can become markup. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { beforeAll, describe, expect, test } from "vitest"
import { devices } from "../../compiler/explain/devices.js"
import { type Explained, explain } from "../../compiler/explain/explain.js"
import { highlight } from "../../compiler/explain/page/highlight.js"
import { dataElement, element, html } from "../../compiler/explain/page/html.js"
import type { PageOptions } from "../../compiler/explain/page/options.js"
import { explainPage } from "../../compiler/explain/page/page.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { root } from "../support/goldens.js"

const memory = { weights: 1e6, state: 2e6, scratch: 3e6, constants: 0, exchange: 0, total: 6e6 }
const plain: PageOptions = { subject: "tales", memory, compileSeconds: 1.5, peakRssBytes: 3e8 }
const attributes = (page: string, name: string) =>
  [...page.matchAll(new RegExp(` ${name}="([^"]*)"`, "g"))].map((m) => m[1]!)

let tales: Explained
beforeAll(async () => {
  const checkpoint = await openCheckpoint(join(root, "models", "tales"))
  await checkpoint.close()
  const options = { subject: "tales", seq: 64, past: 128 }
  tales = await explain(join(root, "models", "qwen3.ts"), checkpoint.config, "webgpu", options)
})

describe("the page of a model", () => {
  test("has a card for every kernel that step and prefill launch, with all of its forms", () => {
    const page = explainPage(tales.explanation, plain)
    const launched = new Set(
      tales.explanation.entries.flatMap((e) => e.parts.flatMap((p) => p.launches.map((l) => l.kernel))),
    )
    expect(launched.size).toBeGreaterThan(10)
    for (const number of launched) {
      const [, card = ""] = page.split(`id="k${number}"`)
      const own = card.split("</section>")[0]!
      for (const form of ["Tensor program", "Kernel", "Schedule", "Loops, after clean", "WGSL"])
        expect(own).toContain(form)
      const { name } = tales.explanation.kernels.find((k) => k.number === number)!
      expect(page).toContain(`<code>${name}</code>`)
    }
    expect(page.length).toBeLessThan(1_500_000)
  })

  test("links every line that a kernel comes from to kernels that stand there, and back", () => {
    const page = explainPage(tales.explanation, plain)
    const ids = new Set(attributes(page, "id"))
    const targets = attributes(page, "href")
    expect(targets.length).toBeGreaterThan(100)
    for (const target of targets) expect(ids, target).toContain(target.replace(/^#/, ""))
    for (const kernel of tales.explanation.kernels)
      for (const place of kernel.places) expect(attributes(page, "data-place"), place).toContain(place)
    expect(new Set(attributes(page, "id")).size).toBe(attributes(page, "id").length)
  })

  test("every kernel comes from a line of the model or of the language", () => {
    for (const kernel of tales.explanation.kernels) expect(kernel.places.length, kernel.name).toBeGreaterThan(0)
    const own = tales.explanation.kernels.filter((k) => k.places.some((p) => p.startsWith("models/")))
    expect(own.length).toBeGreaterThan(tales.explanation.kernels.length / 2)
  })

  test("needs nothing from elsewhere", () => {
    const page = explainPage(tales.explanation, plain)
    expect(page).not.toMatch(/<(link|img|iframe|object|embed)\b|\bsrc=|@import|url\(|https?:/)
    expect(page.match(/<script/g)).toHaveLength(2)
  })

  test("tells times for a named device, and shares of the roofline for measured ones", () => {
    expect(explainPage(tales.explanation, plain)).not.toContain("Least time")
    const device = devices["nvidia-h200"]!
    const onDevice = explainPage(tales.explanation, { ...plain, device })
    expect(onDevice).toContain("Least time for a token")
    expect(onDevice).toContain("NVIDIA H200")
    expect(onDevice).toContain("Estimated for a token")
    const { name } = tales.explanation.kernels[0]!
    const timed = explainPage(tales.explanation, { ...plain, device, measured: new Map([[name, 1000]]) })
    expect(timed).toContain("of the roofline")
    expect(timed).toMatch(/1\u00a0ms/)
  })

  test("shows each pass before and after", () => {
    const { pass } = tales.explanation.entries[0]!.parts[0]!.programs.at(-1)!
    const page = explainPage(tales.explanation, plain)
    expect(page).toContain("trace → simplify")
    expect(page).toContain(`${pass} → fuse`)
  })

  test("carries its facts as data", () => {
    const [, text = ""] = /<script type="application\/json" id="facts">(.*?)<\/script>/.exec(tales.page()) ?? []
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(tales.facts)))
  })

  test("shows repeated parts once", () => {
    const step = tales.explanation.entries.find((e) => e.name === "step")!
    expect(step.parts.map((p) => [p.name, p.times])).toEqual([
      ["step", 1],
      ["layer", 8],
    ])
    expect(step.parts[0]!.programs[0]!.lines.map((l) => l.text)).toContain("⋮ and 7 more applications of layer")
  })
})

describe("what comes from outside is text", () => {
  const evil = `"><img src=x onerror=alert(1)>`

  test("a page of a source, names and a subject that try to be markup", () => {
    const base = tales.explanation
    const text = `// </script><script>alert(1)</script> <!-- \u2028\n${base.files.find((f) => f.path === base.main)!.text}`
    const spoilt = {
      ...base,
      main: evil,
      files: [{ path: evil, text }],
      entries: base.entries.map((e) => ({ ...e, parts: e.parts.map((p) => ({ ...p, name: evil })) })),
      kernels: base.kernels.map((k) => ({
        ...k,
        name: evil,
        kernel: text,
        loops: evil,
        places: [`${evil}:1`],
        stored: [`${evil}:1`],
      })),
    }
    const page = explainPage(spoilt, { ...plain, subject: evil })
    expect(page).not.toContain("<img")
    expect(page).not.toContain("<script>alert")
    expect(page).not.toContain("<!-- ")
    expect(page.match(/<script/g)).toHaveLength(2)
    expect(page.match(/<\/script/g)).toHaveLength(2)
    expect(page).toContain("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;")
  })

  test("a model's file with such comments and names goes all the way", async () => {
    const folder = await mkdtemp(join(root, "test", "explain", "spoilt-"))
    try {
      const name = `${`x"'<>&`}`
      await writeFile(
        join(folder, "model.ts"),
        `// </script><script>alert(1)</script> <!--
import { defineProgram, input, map } from "../../../dsl/index.js"
export const program = defineProgram({
  inputs: { ${JSON.stringify(name)}: input({ row: 8 }) },
  outputs: { y: ["row"] },
  run: (given) => ({ y: map((v) => v * 2 /* </pre><b> */, given[${JSON.stringify(name)}]) }),
})
`,
      )
      const { page } = await explain(join(folder, "model.ts"), {}, "wasm", { subject: evil, seq: 1, past: 0 })
      const text = page()
      expect(text).not.toMatch(/<img|<script>alert|<b> \*\/|<!-- *\n/)
      expect(text).toContain("&lt;/script&gt;&lt;script&gt;alert(1)")
      expect(text.match(/<\/script/g)).toHaveLength(2)
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test("pieces", () => {
    expect(html`<b title="${evil}">${["<i>", 1, html`<i>`]}</b>`.text).toBe(
      `<b title="&quot;&gt;&lt;img src=x onerror=alert(1)&gt;">&lt;i&gt;1<i></b>`,
    )
    expect(highlight('const a = "<b>" // </i>').map((m) => m.text)).toEqual([
      '<i class="word">const</i> a = <i class="text">&quot;&lt;b&gt;&quot;</i> <i class="comment">// &lt;/i&gt;</i>',
    ])
    const data = { text: "</script><!--\u2028\u2029&" }
    const { text } = dataElement("d", data)
    expect(text.slice(0, -9)).not.toMatch(/<\/|<!|[\u2028\u2029&]/)
    expect(JSON.parse(/>(.*)<\/script>$/.exec(text)![1]!)).toEqual(data)
    expect(() => element("script", "'</script>'")).toThrow("cannot hold")
  })
})
