#!/usr/bin/env node
import 'reflect-metadata'
import { runProcess } from './process.js'

await runProcess()
