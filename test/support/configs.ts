/** Plans of published checkpoints, compiled from nothing but their config.json (test/configs/). */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { type Compilation, type CompileOptions, compileProgram } from "../../compiler/compile.js"
import type { ArtifactTarget } from "../../runtime/artifact.js"
import { qwen3 } from "./driver.js"
import { root } from "./goldens.js"

export const configNames = ["qwen3-0.6b", "qwen3-1.7b", "qwen3-8b", "qwen3-30b-a3b", "qwen3-235b-a22b"] as const
export type ConfigName = (typeof configNames)[number]

export async function compileConfig(
  name: ConfigName,
  target: ArtifactTarget,
  {
    config: changes,
    ...options
  }: Partial<CompileOptions> & { readonly config?: Readonly<Record<string, unknown>> } = {},
): Promise<Compilation> {
  const config = JSON.parse(await readFile(join(root, "test", "configs", `${name}.json`), "utf8"))
  const program = (await qwen3()).configure({ ...config, ...changes })
  return compileProgram(program, "qwen3", { target, storage: () => "bf16", ...options })
}
