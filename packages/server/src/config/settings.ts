import { passwordSchema, usernameSchema } from '@freehold/contracts'
import { z } from 'zod'
import { isAddressRange } from '../http/client-address.ts'
import { Secret } from '../secrets/index.ts'

/** One setting: everything the reference says about it and everything that checks it. */
export interface Setting<S extends z.ZodType = z.ZodType> {
  variable: string
  /** What it does, as a sentence. */
  meaning: string
  /** As it would be written in the environment; null: there is none. */
  default: string | null
  /** What the values are, where the name does not say it. */
  unit?: string
  /** Never printed. */
  secret?: true
  /** From the text in the environment to the value; absent variables come as undefined. */
  schema: S
}

function setting<S extends z.ZodType>(value: Setting<S>): Setting<S> {
  return value
}

const hostname = z
  .string()
  .regex(
    /^(?=.{1,253}(:|$))[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:\d{1,5})?$/,
    'must be a hostname without protocol and path, such as cloud.example.com',
  )

function wholeNumber({ from, to }: { from: number; to: number }) {
  const fault = `must be a whole number from ${from} to ${to}`
  return z
    .string()
    .regex(/^\d{1,9}$/, fault)
    .transform(Number)
    .refine((value) => value >= from && value <= to, fault)
}

function onOrOff(preset: boolean) {
  return z
    .enum(['on', 'off'], { error: 'must be on or off' })
    .transform((value) => value === 'on')
    .default(preset)
}

const secretText = z
  .string()
  .max(1024, 'must have at most 1024 characters')
  .transform((text) => new Secret(text))

/** Reads `username:password`; the password may hold colons. */
const account = z
  .string()
  .transform((text) => ({ username: text.split(':')[0] ?? '', password: text.split(':').slice(1).join(':') }))
  .pipe(z.object({ username: usernameSchema, password: passwordSchema }))

/**
 * Every setting of the control plane, in the order of the reference. Names beginning with SERVEZONE_ are those that
 * operators of serve.zone already have in their files.
 */
export const settings = {
  dataDirectory: setting({
    variable: 'FREEHOLD_DATA_DIR',
    meaning: 'Where everything is kept: the store, the blobs of the registry, keys. One server at a time.',
    default: './.freehold',
    unit: 'directory; made if it is missing',
    schema: z.string().min(1, 'must not be empty').default('./.freehold'),
  }),
  port: setting({
    variable: 'SERVEZONE_PORT',
    meaning: 'The one port for API, registry, dashboard and agents. 0 takes any free one.',
    default: '8080',
    unit: '0 to 65535',
    schema: z
      .string()
      .regex(/^\d{1,5}$/, 'must be a number from 0 to 65535')
      .transform(Number)
      .refine((port) => port <= 65_535, 'must be a number from 0 to 65535')
      .default(8080),
  }),
  bind: setting({
    variable: 'FREEHOLD_BIND',
    meaning:
      'The address to listen on. The default takes connections from everywhere, because agents, browsers and `docker push` come from other machines; 127.0.0.1 takes only those of this machine, for instance of a proxy on it.',
    default: '0.0.0.0',
    unit: 'IP address or hostname',
    schema: z.string().min(1, 'must not be empty').max(253).default('0.0.0.0'),
  }),
  hostname: setting({
    variable: 'SERVEZONE_URL',
    meaning:
      'The public hostname, without protocol, with a port if it is not the usual one. It stands in the setup link, in registry targets and in the commands agents are given.',
    default: null,
    unit: 'hostname[:port]; without it the address that is listened on',
    schema: hostname.optional(),
  }),
  sslMode: setting({
    variable: 'SERVEZONE_SSLMODE',
    meaning:
      'Who does TLS. `none`: nobody, plain HTTP. `external`: a proxy in front; cookies become Secure and links begin with https.',
    default: 'none',
    unit: 'none | external',
    schema: z
      .enum(['none', 'external', 'letsencrypt'], { error: 'must be none or external' })
      .refine(
        (mode) => mode !== 'letsencrypt',
        'letsencrypt is not there yet; put a proxy that does TLS in front and set SERVEZONE_SSLMODE=external',
      )
      .default('none'),
  }),
  trustedProxies: setting({
    variable: 'FREEHOLD_TRUSTED_PROXIES',
    meaning:
      'Proxies whose X-Forwarded-For is believed when it says who the client is (for throttling and the access log).',
    default: '127.0.0.1,::1 with SERVEZONE_SSLMODE=external, else none',
    unit: 'addresses or CIDR ranges, comma-separated',
    schema: z
      .string()
      .transform((text) =>
        text
          .split(',')
          .map((part) => part.trim())
          .filter((part) => part !== ''),
      )
      .refine((ranges) => ranges.every(isAddressRange), 'must be addresses or CIDR ranges, comma-separated')
      .optional(),
  }),
  environment: setting({
    variable: 'SERVEZONE_ENVIRONMENT',
    meaning:
      'What this installation is for. Checked, because operators have it in their files; nothing depends on it yet.',
    default: 'production',
    unit: 'production | integration',
    schema: z.enum(['production', 'integration'], { error: 'must be production or integration' }).default('production'),
  }),
  adminAccount: setting({
    variable: 'SERVEZONE_ADMINACCOUNT',
    meaning:
      'Makes the first administrator at the start, if there is none yet; one that exists is never changed. Without it the start prints a one-time setup link.',
    default: null,
    unit: 'username:password, the password at least 10 characters',
    secret: true,
    schema: account.optional(),
  }),
  storeUrl: setting({
    variable: 'FREEHOLD_STORE_URL',
    meaning:
      'A PostgreSQL database for the store. Run one control plane on it at a time (docs/operating.md says why). Without it: SQLite in the data directory.',
    default: null,
    unit: 'postgres://user:password@host:port/database',
    secret: true,
    schema: z
      .string()
      .refine(
        (text) => URL.canParse(text) && ['postgres:', 'postgresql:'].includes(new URL(text).protocol),
        'must be an address like postgres://user:password@host:5432/database',
      )
      .optional(),
  }),
  appSecret: setting({
    variable: 'APP_SECRET',
    meaning:
      'The secret every key of this installation is derived from. Several control planes on one store need the same. Without it one is made and kept in the data directory (`secret.key`).',
    default: null,
    unit: 'at least 32 characters, for instance of `openssl rand -base64 32`',
    secret: true,
    schema: z
      .string()
      .min(32, 'must have at least 32 characters; `openssl rand -base64 32` makes one')
      .max(1024)
      .optional(),
  }),
  acceptNewSecret: setting({
    variable: 'FREEHOLD_ACCEPT_NEW_SECRET',
    meaning:
      'Set to `on` for one start when the secret of this installation is lost for good. Credentials kept encrypted must be entered again.',
    default: 'off',
    unit: 'on | off',
    schema: onOrOff(false),
  }),
  localCluster: setting({
    variable: 'FREEHOLD_LOCAL_CLUSTER',
    meaning:
      'Whether the Docker engine of this machine becomes a cluster named `local`, by a cluster agent that is started along; a Swarm is initialised where there is none.',
    default: 'on',
    unit: 'on | off',
    schema: onOrOff(true),
  }),
  dockerHost: setting({
    variable: 'DOCKER_HOST',
    meaning: 'The Docker engine of the local cluster.',
    default: 'unix:///var/run/docker.sock',
    unit: 'unix://path or tcp://host:port',
    schema: z
      .string()
      .regex(/^(unix:\/\/\/.+|(tcp|http):\/\/[^/]+\/?)$/, 'must be unix:///path or tcp://host:port')
      .default('unix:///var/run/docker.sock'),
  }),
  registryGarbageGraceMs: setting({
    variable: 'FREEHOLD_REGISTRY_GC_GRACE_HOURS',
    meaning:
      'How long blobs of the registry that nothing needs any more stay, so that a push under way finds them. Longer than the longest push.',
    default: '24',
    unit: 'hours, 1 to 8760',
    schema: wholeNumber({ from: 1, to: 8760 })
      .transform((hours) => hours * 3_600_000)
      .default(24 * 3_600_000),
  }),
  registryGarbagePeriodMs: setting({
    variable: 'FREEHOLD_REGISTRY_GC_PERIOD_MINUTES',
    meaning: 'How often blobs of the registry that nothing needs any more are looked for and removed.',
    default: '60',
    unit: 'minutes, 1 to 10080',
    schema: wholeNumber({ from: 1, to: 10_080 })
      .transform((minutes) => minutes * 60_000)
      .default(60 * 60_000),
  }),
  registryScrubBytesPerSecond: setting({
    variable: 'FREEHOLD_REGISTRY_SCRUB_MIB_PER_SECOND',
    meaning:
      'How fast all blobs of the registry are read anew in the background, to find those that a disk has damaged.',
    default: '20',
    unit: 'MiB a second, 1 to 10000',
    schema: wholeNumber({ from: 1, to: 10_000 })
      .transform((mebibytes) => mebibytes * 1024 * 1024)
      .default(20 * 1024 * 1024),
  }),
  registryScrubPeriodMs: setting({
    variable: 'FREEHOLD_REGISTRY_SCRUB_PERIOD_HOURS',
    meaning: 'How often reading all blobs of the registry anew begins.',
    default: '168',
    unit: 'hours, 1 to 8760',
    schema: wholeNumber({ from: 1, to: 8760 })
      .transform((hours) => hours * 3_600_000)
      .default(168 * 3_600_000),
  }),
  registryQuotaBytes: setting({
    variable: 'FREEHOLD_REGISTRY_QUOTA_GIB',
    meaning:
      'How much all repositories of the registry together may hold, each blob counted once; a push beyond it is refused. Repositories have quotas of their own besides. Garbage not yet collected and unfinished uploads take room on the disk above it.',
    default: null,
    unit: 'GiB, 1 to 8388608',
    schema: wholeNumber({ from: 1, to: 8_388_608 })
      .transform((gibibytes) => gibibytes * 1024 ** 3)
      .optional(),
  }),
  registryKeepLastTags: setting({
    variable: 'FREEHOLD_REGISTRY_RETENTION_KEEP_LAST',
    meaning:
      'For repositories without retention rules of their own: so many tags pushed last stay. A tag stays if any of the three rules keeps it; without any of the three all tags stay.',
    default: null,
    unit: 'a number of tags, 1 to 100000',
    schema: wholeNumber({ from: 1, to: 100_000 }).optional(),
  }),
  registryKeepTags: setting({
    variable: 'FREEHOLD_REGISTRY_RETENTION_KEEP_TAGS',
    meaning: 'Likewise: tags that fit one of these patterns stay; * stands for any text, ? for any one character.',
    default: null,
    unit: 'patterns, comma-separated, such as v*,latest',
    schema: z
      .string()
      .transform((text) => text.split(',').map((part) => part.trim()))
      .pipe(
        z
          .array(z.string().regex(/^[A-Za-z0-9._*?-]{1,128}$/, 'must be patterns of letters, digits, _ . - * ?'))
          .max(50),
      )
      .optional(),
  }),
  registryKeepDays: setting({
    variable: 'FREEHOLD_REGISTRY_RETENTION_KEEP_DAYS',
    meaning: 'Likewise: tags pushed within so many days stay.',
    default: null,
    unit: 'days, 1 to 36500',
    schema: wholeNumber({ from: 1, to: 36_500 }).optional(),
  }),
  registryUntaggedDays: setting({
    variable: 'FREEHOLD_REGISTRY_RETENTION_UNTAGGED_DAYS',
    meaning:
      'For repositories without retention rules of their own: manifests go when neither a tag nor an index nor a service has needed them for so many days. Without it they stay.',
    default: null,
    unit: 'days, 1 to 36500',
    schema: wholeNumber({ from: 1, to: 36_500 }).optional(),
  }),
  s3Endpoint: setting({
    variable: 'S3_ENDPOINT',
    meaning:
      'The S3 store that keeps the blobs of the registry, in place of the data directory. As soon as one of the S3 variables is set, this, S3_ACCESSKEY, S3_SECRETKEY and S3_BUCKET are needed.',
    default: null,
    unit: 'hostname, or an address such as https://s3.example.com:9000 without a path',
    schema: z
      .string()
      .regex(
        /^(https?:\/\/)?([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:]{2,45}\])(:\d{1,5})?\/?$/,
        'must be a hostname, or an address of http:// or https:// without a path',
      )
      .optional(),
  }),
  s3Port: setting({
    variable: 'S3_PORT',
    meaning: 'The port of the S3 store, where S3_ENDPOINT does not say it.',
    default: null,
    unit: '1 to 65535; without it that of the protocol',
    schema: wholeNumber({ from: 1, to: 65_535 }).optional(),
  }),
  s3UseSsl: setting({
    variable: 'S3_USESSL',
    meaning: 'Whether the S3 store is spoken to by https, where S3_ENDPOINT does not say it.',
    default: null,
    unit: 'true | false; without it true',
    schema: z
      .enum(['true', 'false', '1', '0', 'on', 'off'], { error: 'must be true or false' })
      .transform((value) => ['true', '1', 'on'].includes(value))
      .optional(),
  }),
  s3Region: setting({
    variable: 'S3_REGION',
    meaning: 'The region requests to the S3 store are signed for. Stores of your own mostly take any.',
    default: 'us-east-1',
    schema: z
      .string()
      .regex(/^[A-Za-z0-9-]{1,64}$/, 'must be letters, digits and hyphens')
      .default('us-east-1'),
  }),
  s3Bucket: setting({
    variable: 'S3_BUCKET',
    meaning:
      'The bucket; made if it is missing and the credentials allow it. What Freehold keeps there lies below `registry/`, and belongs to one installation.',
    default: null,
    unit: 'name of a bucket',
    schema: z
      .string()
      .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be 3 to 63 lower-case letters, digits, dots and hyphens')
      .optional(),
  }),
  s3AccessKey: setting({
    variable: 'S3_ACCESSKEY',
    meaning: 'The access key for the S3 store. It needs to list the bucket, and to read, write and delete its objects.',
    default: null,
    secret: true,
    schema: secretText.optional(),
  }),
  s3SecretKey: setting({
    variable: 'S3_SECRETKEY',
    meaning: 'The secret key for the S3 store.',
    default: null,
    secret: true,
    schema: secretText.optional(),
  }),
  s3Downloads: setting({
    variable: 'FREEHOLD_S3_DOWNLOADS',
    meaning:
      'How clients get blobs that are in S3. `redirect`: from the store itself, by an address that is good for five minutes; clients must reach it under the name S3_ENDPOINT gives. `proxy`: through the control plane.',
    default: 'redirect',
    unit: 'redirect | proxy',
    schema: z.enum(['redirect', 'proxy'], { error: 'must be redirect or proxy' }).default('redirect'),
  }),
  imageCleanupPeriodMs: setting({
    variable: 'CLOUDLY_BASEOS_IMAGE_CLEANUP_INTERVAL_MS',
    meaning: 'How often images of builds that were to be kept no longer are removed.',
    default: '43200000',
    unit: 'milliseconds, 1000 to 999999999; the default is 12 hours',
    schema: wholeNumber({ from: 1000, to: 999_999_999 }).default(12 * 3_600_000),
  }),
  logLevel: setting({
    variable: 'FREEHOLD_LOG_LEVEL',
    meaning: 'What is written to the log (JSON lines on standard error).',
    default: 'info',
    unit: 'debug | info | warn | error | silent',
    schema: z
      .enum(['debug', 'info', 'warn', 'error', 'silent'], { error: 'must be debug, info, warn, error or silent' })
      .default('info'),
  }),
}
