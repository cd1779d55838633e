/** The READMEs' TypeScript is right against the package's types, with the names that an installed user imports from. */
import { readFileSync } from "node:fs"
import { Project, ts } from "ts-morph"
import { expect, test } from "vitest"

/** What the blocks leave out: the arrays, configs and types of the text around them. */
const around: Readonly<Record<string, string>> = {
  Config: "type Config = { readonly head_dim: number }",
  Attention: `type Attention = { readonly q: Tensor<"embed" | "kv" | "rep" | "dim">; readonly k: Tensor<"embed" | "kv" | "dim">
    readonly v: Tensor<"embed" | "kv" | "dim">; readonly qNorm: Tensor<"dim">; readonly kNorm: Tensor<"dim">; readonly o: Tensor<"kv" | "rep" | "dim" | "embed"> }`,
  Cache: 'type Cache = { readonly k: Tensor<"key" | "kv" | "dim">; readonly v: Tensor<"key" | "kv" | "dim"> }',
  eps: "declare const eps: number",
  rotary: "declare const rotary: Rotary",
  config: "declare const config: Record<string, unknown>",
  image: "declare const image: Float32Array",
  re: "declare const re: Float32Array, im: Float32Array",
}
const arrays = "declare const kernel: Float32Array"
const paths = {
  weft: ["./dsl/index.ts"],
  "weft/node": ["./cli/node.ts"],
  "weft/compiler": ["./compiler/index.ts"],
  "weft/runtime": ["./runtime/index.ts"],
}

/** The blocks of a file, with the folder that they stand in. */
const blocks = (file: string) =>
  [...readFileSync(file, "utf8").matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code], i) => ({ file, code: code!, i }))

test("every block of TypeScript in the READMEs type-checks", () => {
  const project = new Project({
    tsConfigFilePath: "tsconfig.json",
    skipAddingFilesFromTsConfig: true,
    compilerOptions: { paths, noEmit: true, verbatimModuleSyntax: false, noUnusedLocals: false },
  })
  const index = project.addSourceFileAtPath("dsl/index.ts")
  const language = [...index.getExportedDeclarations().keys()]
  const found = ["README.md", "dsl/README.md", "examples/README.md"].flatMap(blocks)
  expect(found.length).toBeGreaterThan(6)
  const sources = found.map(({ file, code, i }) => {
    const imported = new Set(
      [...code.matchAll(/import (?:type )?\{([^}]*)\}/g)].flatMap(([, names]) => names!.split(/[\s,]+/)),
    )
    const missing = language.filter((name) => !imported.has(name) && !(name in around))
    const added = Object.entries(around).flatMap(([name, text]) =>
      new RegExp(`\\b${name}\\b`).test(code) ? [text] : [],
    )
    const head = [
      `import { ${missing.join(", ")} } from "weft"`,
      ...added,
      ...(/\bkernel \}/.test(code) ? [arrays] : []),
    ]
    const folder = file.replace(/README\.md$/, "")
    return project.createSourceFile(`${folder}readme-${i}.ts`, `${head.join("\n")}\n${code}\nexport {}\n`)
  })
  const program = project.getProgram().compilerObject
  const problems = sources.flatMap(({ compilerNode }) =>
    [...program.getSyntacticDiagnostics(compilerNode), ...program.getSemanticDiagnostics(compilerNode)].map(
      ({ messageText, start }) =>
        `${compilerNode.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")} at ${compilerNode.text.slice(start, (start ?? 0) + 60)}`,
    ),
  )
  expect(problems).toEqual([])
})
