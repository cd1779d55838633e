/**
 * TypeScript's program over files. ts-morph brings the compiler and its libraries, which lie in its own text; its `Project` does not tell
 * modules of ECMAScript from those of CommonJS, which decides what a package's `exports` lead to, so the program is made here.
 */
import { dirname, join } from "node:path"
import { Project, ts } from "ts-morph"

/** Where the libraries lie for ts-morph, on no disk. */
const libraryFolder = "/node_modules/typescript/lib"
let libraries: ReturnType<Project["getModuleResolutionHost"]> | undefined

export function createProgram(files: readonly string[], options: ts.CompilerOptions): ts.Program {
  libraries ??= new Project().getModuleResolutionHost()
  const library = libraries
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile } = host
  const isLibrary = (path: string) => dirname(path) === libraryFolder
  host.getDefaultLibLocation = () => libraryFolder
  host.getDefaultLibFileName = (given) => join(libraryFolder, ts.getDefaultLibFileName(given))
  host.fileExists = (path) => (isLibrary(path) ? library.fileExists(path) : fileExists(path))
  host.readFile = (path) => (isLibrary(path) ? library.readFile(path) : readFile(path))
  return ts.createProgram([...files], options, host)
}
