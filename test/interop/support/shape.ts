import type { DescriptorProto, FileDescriptorProto } from '@bufbuild/protobuf/wkt'

/** What of a .proto file decides the bytes and the paths on the wire, in an order that does not depend on the file's. */
export function shapeOf(file: FileDescriptorProto) {
  return {
    package: file.package,
    syntax: file.syntax,
    services: sorted(file.service, (service) => ({
      name: service.name,
      methods: sorted(service.method, (method) => ({
        name: method.name,
        from: method.inputType,
        to: method.outputType,
        streams: [method.clientStreaming, method.serverStreaming],
      })),
    })),
    messages: sorted(file.messageType, messageShape),
  }
}

interface MessageShape {
  readonly name: string
  readonly fields: readonly unknown[]
  /** Maps are messages within messages. */
  readonly nested: readonly MessageShape[]
}

function messageShape({ name, field, nestedType }: DescriptorProto): MessageShape {
  const fields = sorted(field, ({ name: fieldName, number, type, label, typeName }) => ({
    name: fieldName,
    number,
    type,
    label,
    typeName,
  }))
  return { name, fields, nested: sorted(nestedType, messageShape) }
}

function sorted<T, S extends { readonly name: string }>(items: readonly T[], shape: (item: T) => S): S[] {
  return items.map(shape).sort((a, b) => (a.name < b.name ? -1 : 1))
}
