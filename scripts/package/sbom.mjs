// The bill of materials as CycloneDX 1.6: the packages of the bundle by package-lock.json, the native libraries, and Node.
import { NODE_VERSION } from './fetch.mjs'
import { LOCK, MANIFEST } from './paths.mjs'

/** The document for the packages at these paths of package-lock.json, without times and random numbers. */
export function sbom(paths, architectures) {
  const native = architectures.map((arch) => `node_modules/@koromix/koffi-linux-${arch}`)
  const libraries = [...new Set([...paths, ...native])].sort().map(component)
  const root = purl(MANIFEST.name, MANIFEST.version)
  const document = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        type: 'application',
        'bom-ref': root,
        name: MANIFEST.name,
        version: MANIFEST.version,
        description: MANIFEST.description,
        licenses: licensesOf(MANIFEST.license),
        purl: root,
      },
    },
    components: [
      ...libraries,
      {
        type: 'platform',
        'bom-ref': `node@${NODE_VERSION}`,
        name: 'node',
        version: NODE_VERSION,
        description: 'The runtime inside the single executables; the npm package brings none.',
        licenses: licensesOf('MIT'),
        purl: `pkg:generic/node@${NODE_VERSION}`,
        cpe: `cpe:2.3:a:nodejs:node.js:${NODE_VERSION}:*:*:*:lts:*:*:*`,
      },
    ],
    dependencies: dependencies(root, paths, libraries),
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

function component(path) {
  const entry = LOCK[path]
  if (!entry) throw new Error(`${path} is in the bundle and not in package-lock.json`)
  const name = nameOf(path)
  const at = name.lastIndexOf('/')
  const ref = purl(name, entry.version)
  return {
    type: 'library',
    'bom-ref': ref,
    ...(at === -1 ? { name } : { group: name.slice(0, at), name: name.slice(at + 1) }),
    version: entry.version,
    scope: 'required',
    ...(entry.integrity ? { hashes: [hash(entry.integrity)] } : {}),
    ...(entry.license ? { licenses: licensesOf(entry.license) } : {}),
    purl: ref,
  }
}

/** The dependencies between packages of the bundle, resolved as by npm from each package's path. */
function dependencies(root, paths, libraries) {
  const known = new Set(libraries.map((library) => library['bom-ref']))
  const needs = (from, names) => {
    const found = names.flatMap((name) => {
      const path = resolved(from, name)
      return path ? [purl(name, LOCK[path].version)] : []
    })
    return [...new Set(found)].filter((ref) => known.has(ref)).sort()
  }
  return [
    { ref: root, dependsOn: needs('', Object.keys(MANIFEST.dependencies)) },
    ...[...paths].sort().map((path) => ({
      ref: purl(nameOf(path), LOCK[path].version),
      dependsOn: needs(path, Object.keys({ ...LOCK[path].dependencies, ...LOCK[path].optionalDependencies })),
    })),
  ]
}

function resolved(from, name) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`
    if (LOCK[path]) return path
    if (folder === '') return null
  }
}

function nameOf(path) {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
}

function purl(name, version) {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`
}

function hash(integrity) {
  const [algorithm, value] = integrity.split('-', 1).concat(integrity.slice(integrity.indexOf('-') + 1))
  return { alg: algorithm.toUpperCase().replace('SHA', 'SHA-'), content: Buffer.from(value, 'base64').toString('hex') }
}

function licensesOf(text) {
  return /[ ()]/.test(text) ? [{ expression: text }] : [{ license: { id: text } }]
}
