import { expect, test } from 'vitest'
import { telemetrySettings } from '../../../agent/telemetry/settings.js'

const on = { OTEL_TRACES_EXPORTER: 'otlp', OTEL_METRICS_EXPORTER: 'otlp' }

test('an endpoint alone exports nothing, nor does a disabled SDK', () => {
  expect(telemetrySettings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' })).toBeNull()
  expect(telemetrySettings({ OTEL_TRACES_EXPORTER: 'none' })).toBeNull()
  expect(telemetrySettings({ ...on, OTEL_SDK_DISABLED: 'TRUE' })).toBeNull()
})

test('the endpoint of all signals gets their paths, that of one signal is taken as it is', () => {
  const settings = telemetrySettings({
    ...on,
    OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.example:4318/base/',
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'https://other.example/in',
  })
  expect(settings?.traces?.url).toBe('https://collector.example:4318/base/v1/traces')
  expect(settings?.metrics?.url).toBe('https://other.example/in')
  expect(telemetrySettings(on)?.traces?.url).toBe('http://localhost:4318/v1/traces')
})

test('the encoding is that of the standard, and may be another for one signal', () => {
  const settings = telemetrySettings({ ...on, OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: 'http/json' })
  expect([settings?.traces?.encoding, settings?.metrics?.encoding]).toEqual(['protobuf', 'json'])
  const json = telemetrySettings({ ...on, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' })
  expect(json?.traces?.encoding).toBe('json')
})

test('headers are decoded, kept as secrets, and those of one signal take the place of all', () => {
  const settings = telemetrySettings({
    ...on,
    OTEL_EXPORTER_OTLP_HEADERS: 'Authorization=Bearer%20abc, x-scope = 1',
    OTEL_EXPORTER_OTLP_METRICS_HEADERS: 'x=y',
  })
  const revealed = [...(settings?.traces?.headers ?? [])].map(([name, value]) => [name, value.reveal()])
  expect(revealed).toEqual([
    ['authorization', 'Bearer abc'],
    ['x-scope', '1'],
  ])
  expect([...(settings?.metrics?.headers.keys() ?? [])]).toEqual(['x'])
  expect(JSON.stringify([...(settings?.traces?.headers ?? [])])).not.toContain('abc')
})

test.each<[string, Record<string, string>]>([
  ['OTEL_EXPORTER_OTLP_PROTOCOL', { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://user:s3cret@collector' }],
  ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS: 's3cret' }],
  ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS: 'a=s3cret%0d%0ax: y' }],
  ['OTEL_EXPORTER_OTLP_TIMEOUT', { OTEL_EXPORTER_OTLP_TIMEOUT: 's3cret' }],
  ['OTEL_TRACES_SAMPLER', { OTEL_TRACES_SAMPLER: 'jaeger_remote' }],
  ['OTEL_TRACES_SAMPLER_ARG', { OTEL_TRACES_SAMPLER_ARG: '2' }],
  ['OTEL_METRICS_EXPORTER', { OTEL_METRICS_EXPORTER: 'prometheus' }],
])('what is wrong with %s is said, without its value', (name, env) => {
  const problems = telemetrySettings({ ...on, ...env })?.problems ?? []
  expect(problems.join()).toContain(`${name}:`.slice(0, name.length))
  expect(problems.join()).not.toContain('s3cret')
})

test('what cannot be used exports nothing, or has its default', () => {
  expect(telemetrySettings({ ...on, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' })).toMatchObject({
    traces: null,
    metrics: null,
  })
  expect(telemetrySettings({ ...on, OTEL_TRACES_SAMPLER_ARG: 'x' })?.traces).toMatchObject({ ratio: 1 })
  expect(telemetrySettings({ ...on, OTEL_BSP_MAX_QUEUE_SIZE: '9999999' })?.traces).toMatchObject({ maxQueue: 2048 })
})

test('service name and attributes are read as the standard says', () => {
  const settings = telemetrySettings({ ...on, OTEL_RESOURCE_ATTRIBUTES: 'service.name=a,region=eu%20west' })
  expect(settings).toMatchObject({ serviceName: 'a', attributes: { region: 'eu west' } })
  expect(telemetrySettings({ ...on, OTEL_SERVICE_NAME: 'b' })?.serviceName).toBe('b')
})
