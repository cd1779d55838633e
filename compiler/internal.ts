/**
 * What only our own command line and build use of the compiler, as one module that is loaded when the first of it is needed. Not an entry of the
 * package: it changes with what uses it.
 */
export { compileProgram } from "./compile.js"
export {
  type CompiledFile,
  type CompileModelOptions,
  checkFile,
  compileFile,
  describeFile,
  type ModelDescription,
} from "./compile-file.js"
export { loopsFor } from "./compile-kernels.js"
export { explain } from "./explain/explain.js"
export { kernelCosts } from "./explain/kernels.js"
export { transformFiles } from "./frontend/files.js"
export { checkedFiles } from "./frontend/project.js"
export { compile } from "./index.js"
export { fingerprintOf as structureOf } from "./kernel/fingerprint.js"
export { choices } from "./schedule/choices.js"
