/**
 * The compiler's surface: a model file and a config in, or a program file, and an artifact out.
 *
 *     const artifact = await compile("model.ts", config, "webgpu")
 *     const artifact = await compile("examples/mandelbrot.ts", {}, "wasm")
 *
 * Compiling a model file runs it, as importing any module does.
 */
import type { Artifact, ArtifactTarget } from "../runtime/artifact.js"
import { type CompileModelOptions, compileFile } from "./compile-file.js"

export { type Compilation, compileProgram } from "./compile.js"
export { type CompiledFile, type CompileModelOptions, checkFile, compileFile } from "./compile-file.js"
export { loopsFor } from "./compile-kernels.js"
export { type Explained, type ExplainOptions, explain } from "./explain/explain.js"
export { transformFiles } from "./frontend/files.js"
export { loadModel } from "./frontend/load.js"
export { checkedFiles } from "./frontend/project.js"
export { structureOf } from "./kernel/fingerprint.js"
export { choices } from "./schedule/choices.js"

/**
 * Compiles the model of `modelFile` with the content of a config.json, or its program (with `{}`), for one target.
 *
 * @throws WeftError what `loadModel` throws (`model/type-error`, `scalar/function` …, `model/failed` also when the model throws while it is configured or traced), `compile/model` when the file exports neither,
 *   `compile/config` naming the fields that the model does not take, `compile/storage` when tensors of one stack are stored differently, and
 *   what the passes refuse, with the model's line
 */
export async function compile(
  modelFile: string,
  config: Readonly<Record<string, unknown>>,
  target: ArtifactTarget,
  options: CompileModelOptions = {},
): Promise<Artifact> {
  const { compilation } = await compileFile(modelFile, config, target, options)
  return compilation.artifact
}
