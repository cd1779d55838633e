/**
 * TypeScript's program over files. ts-morph brings the compiler and its libraries, which lie in its own text; its `Project` does not tell
 * modules of ECMAScript from those of CommonJS, which decides what a package's `exports` lead to, so the program is made here.
 */
import { dirname, join } from "node:path"
import { Project, ts } from "ts-morph"

/** Where the libraries lie for ts-morph, on no disk. */
const libraryFolder = "/node_modules/typescript/lib"
let libraries: ReturnType<Project["getModuleResolutionHost"]> | undefined

/** Files of libraries and packages by options and path: a process that compiles several models parses and binds them once. */
const parsed = new Map<string, ts.SourceFile>()

export function createProgram(files: readonly string[], options: ts.CompilerOptions): ts.Program {
  libraries ??= new Project().getModuleResolutionHost()
  const library = libraries
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile, getSourceFile } = host
  const bound = JSON.stringify(options)
  const isLibrary = (path: string) => dirname(path) === libraryFolder
  host.getDefaultLibLocation = () => libraryFolder
  host.getDefaultLibFileName = (given) => join(libraryFolder, ts.getDefaultLibFileName(given))
  host.fileExists = (path) => (isLibrary(path) ? library.fileExists(path) : fileExists(path))
  host.readFile = (path) => (isLibrary(path) ? library.readFile(path) : readFile(path))
  host.getSourceFile = (path, ...rest) => {
    if (!path.includes("/node_modules/")) return getSourceFile(path, ...rest)
    const key = JSON.stringify([bound, path, rest[0]])
    const known = parsed.get(key)
    if (known !== undefined && (isLibrary(path) || known.text === host.readFile(path))) return known
    const made = getSourceFile(path, ...rest)
    if (made !== undefined) parsed.set(key, made)
    return made
  }
  return ts.createProgram([...files], options, host)
}
