/** What the recorded runs of kyuubi-ctl ran, printing the same lines in less time. */
package org.example

object Hello {
  def main(args: Array[String]): Unit = {
    println(s"hello from the driver, ${args.length} args")
    for ((arg, at) <- args.zipWithIndex) println(s"arg $at = [$arg]")
    println("bye")
  }
}

object Fail {
  def main(args: Array[String]): Unit = {
    println("about to fail")
    throw new IllegalStateException("this job fails on purpose")
  }
}

object Sleep {
  def main(args: Array[String]): Unit = {
    val seconds = args(0).toInt
    for (second <- 1 to seconds) {
      println(s"tick $second of $seconds")
      Thread.sleep(1000)
    }
    println("done")
  }
}

/** In batches, so that whoever follows the log meets a page that is not full while the job still runs. */
object Many {
  def main(args: Array[String]): Unit = {
    for (line <- 1 to args(0).toInt) {
      println(s"line $line")
      if (line % 50 == 0) Thread.sleep(200)
    }
    System.err.println("a line on stderr")
    new java.io.PrintStream(System.out, true, "UTF-8").println("\tune ligne accentu\u00e9e \u65e5\u672c \ud83d\ude00")
    println("")
    println("last line")
  }
}
