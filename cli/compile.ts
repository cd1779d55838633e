/**
 * weft compile: the artifact of a model as a file, for a page or a server that loads no compiler.
 *
 *     weft compile models/qwen3.ts --config qwen3-8b.json --out qwen3-8b.json
 *     weft compile models/qwen3.ts --config qwen3-8b.json --target cuda --arch sm_90a,sm_80 --out qwen3-8b
 *
 *         qwen3-8b/artifact.json         with a binary of all kernels for each architecture; without --arch, none
 *         qwen3-8b/kernels/k3_t0.cu      the text of each kernel, which can be compiled by itself
 */
import { join } from "node:path"
import type { AdapterFacts } from "../compiler/ir/machine.js"
import type { Artifact } from "../runtime/artifact.js"
import { architectureOf, type Binary } from "../runtime/devices/cuda/compilers/architectures.js"
import type { Compiler } from "../runtime/devices/cuda/compilers/compiler.js"
import { parse, UsageError } from "./arguments.js"
import { defaultTarget, flagsOf } from "./commands.js"
import { cudaAdapter } from "./device.js"
import { counted, createProgress, say } from "./output.js"
import { writableFolder, writablePath, writeResult } from "./result.js"
import { missingConfig, subjectOf } from "./subject.js"
import { namedTuned } from "./tuned.js"

export async function compile(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("compile"), { out: [(path) => path, "a file, or a folder for cuda"] })
  const { out, target = defaultTarget, arch, context, precision } = values
  if (out === undefined)
    throw new UsageError(`--out is missing, such as --out ${target === "cuda" ? "DIR" : "artifact.json"}`)
  if (arch !== undefined && target !== "cuda") throw new UsageError("--arch goes with --target cuda")
  if (target === "cuda") writableFolder(out)
  else writablePath(out)
  // Before the model is compiled, should there be none.
  const binaries = arch === undefined ? undefined : await binariesOf(arch)
  const subject = await subjectOf(values, words, "compile")
  const { file, config, tensors } = subject
  const tuned = values.tuned === undefined ? undefined : await namedTuned(values.tuned)
  const compiler = await import("../compiler/internal.js")
  const onWarning = (message: string) => say(`weft: ${message}`)
  const adapter = adapterOf(arch)
  const options = { context, precision, tuned, adapter, onWarning, ...(tensors && { tensors }) }
  const compiling = compiler.compile(file, config, target, options)
  const artifact = await compiling.catch((cause) => Promise.reject(missingConfig(subject, cause)))
  if (target === "cuda") await writeCuda(artifact, out, binaries)
  else await writeResult(out, JSON.stringify(artifact))
  const ahead = binaries === undefined ? "" : `, compiled for ${binaries.names} by ${binaries.compiler.description}`
  say(`weft: ${out}: ${counted(artifact.kernels.length, "kernel")} for ${target}${ahead}`)
  return 0
}

/** For one architecture alone what only that has may be used, which compilers take under its name with an a: sm_90a, not sm_90. */
function adapterOf([one, ...others]: readonly Binary[] = []): AdapterFacts | undefined {
  if (one?.kind !== "cubin" || others.length > 0) return undefined
  const { capability, suffix } = architectureOf(one.arch)!
  return suffix === "a" ? cudaAdapter(capability) : undefined
}

interface Binaries {
  readonly wanted: readonly Binary[]
  readonly names: string
  readonly compiler: Compiler
}

/** @throws WeftError `cuda/missing` without a compiler */
async function binariesOf(wanted: readonly Binary[]): Promise<Binaries> {
  const { compilerFor, passedText } = await import("../runtime/devices/cuda/compilers/find.js")
  const { compiler, passed } = await compilerFor(wanted)
  for (const why of passed) say(`weft: ${passedText(why, compiler)}`)
  const names = wanted.map(({ arch, kind }) => (kind === "cubin" ? arch : `${arch} as PTX`)).join(", ")
  return { wanted, names, compiler }
}

/** The texts first: where one does not compile, they are there to be looked at. */
async function writeCuda(artifact: Artifact, folder: string, binaries: Binaries | undefined): Promise<void> {
  const { modulesAhead, unitOf } = await import("../runtime/devices/cuda/compilers/modules.js")
  for (const kernel of artifact.kernels)
    await writeResult(join(folder, "kernels", `${kernel.symbol!}.cu`), unitOf(artifact, [kernel]))
  // Minutes, of large models.
  const progress = createProgress()
  if (binaries !== undefined)
    progress.show(`compiling ${counted(artifact.kernels.length, "kernel")} for ${binaries.names} …`)
  const ahead = binaries && modulesAhead(artifact, binaries.wanted, binaries.compiler)
  const modules = ahead && { modules: await ahead.finally(progress.done) }
  await writeResult(join(folder, "artifact.json"), JSON.stringify({ ...artifact, ...modules }))
}
